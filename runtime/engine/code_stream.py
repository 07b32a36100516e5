"""One stream's codes: collects columns, detects the end, and cuts the stream into windows for the codec."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runtime.engine.delay_pattern import complete_frames, undelay
from runtime.engine.runaway import RunawayDetector
from runtime.engine.types import CodebookLayout, FinishReason, FrameWindow, RunawayGuard, WindowPlan

_RUNAWAY_TAIL = 5  # frames of a runaway that are still emitted, unless more were emitted before


class CodeStream:
    """Columns in, windows out.

    Frames are counted from 0 here. A window leaves as soon as its last frame has `context_frames` frames after it,
    which makes its decoded samples equal those of the whole stream. The stream stops once every frame before the first
    undecodable one is complete: a frame that holds a mark (the end mark moves down the codebooks, one per column) and
    everything after it is never emitted.

    The guard may also end a stream. Then only a short tail of the loop or silence is emitted, or what was emitted
    before; the frames after it are still context for the last window, so that no sample depends on the cut.
    """

    def __init__(
        self,
        layout: CodebookLayout,
        plan: WindowPlan,
        max_frames: int,
        context_frames: int,
        guard: RunawayGuard | None = None,
        silence_codes: Sequence[Sequence[int]] = (),
    ) -> None:
        guard = guard or RunawayGuard()
        self._end_reason = FinishReason.LENGTH
        if 0 < guard.max_frames < max_frames:
            max_frames, self._end_reason = guard.max_frames, FinishReason.RUNAWAY
        watched = guard.loop_frames or guard.silence_frames
        self._detector = RunawayDetector(layout, guard, silence_codes) if watched else None
        self._layout, self._plan, self._context = layout, plan, context_frames
        self._codebooks, self._first_mark = np.arange(layout.num_codebooks), layout.first_special_id
        self._columns = np.full(
            (max_frames + layout.num_codebooks, layout.num_codebooks), layout.stream_bos_id, dtype=np.int32
        )
        self._count = 1  # column 0, all beginning marks, needs no model
        self._end = max_frames  # the first frame that will not be emitted
        self._emitted = 0
        self._windows = 0
        self._wanted = 0  # frames needed before the next window may leave

    @property
    def columns(self) -> np.ndarray:
        """The columns so far, int32 [columns, num_codebooks], column 0 included."""
        return self._columns[: self._count]

    @property
    def columns_needed(self) -> int:
        """Columns, column 0 included, that the longest possible stream takes."""
        return len(self._columns)

    @property
    def frames(self) -> int:
        """Frames that can be emitted so far."""
        return min(self._end, complete_frames(self._count - 1, self._layout.num_codebooks))

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why generation can stop, or None."""
        return self._end_reason if self.frames == self._end else None

    def append(self, column: np.ndarray) -> int:
        """Add the next column, int [num_codebooks]; returns how many more frames can be emitted than before."""
        number, before = self._count, self.frames
        self._columns[number] = column
        self._count += 1
        if column.max() >= self._first_mark:  # a rare case, checked cheaply: this runs for every stream at every step
            marks = (column >= self._first_mark) & (self._codebooks < number)
            if marks.any():
                first = number - 1 - int(self._codebooks[marks].max())
                if first < self._end:
                    self._end, self._end_reason = first, FinishReason.STOP
        if self._detector is not None and self._end_reason is not FinishReason.STOP:
            lost = self._detector.append(column)
            if lost is not None:
                self._end = max(self._emitted, min(self.frames, lost + _RUNAWAY_TAIL))
                self._end_reason, self._detector = FinishReason.RUNAWAY, None
        return max(0, self.frames - before)

    def windows(self) -> list[FrameWindow]:
        """The windows that are now complete; the stream's last one carries its finish reason."""
        ready: list[FrameWindow] = []
        reason = self.finish_reason
        if reason is None and self.frames < self._wanted:
            return ready
        while True:
            size = self._plan.size(self._windows)
            if reason is not None and self.frames <= self._emitted + size + self._context:
                ready.append(self._window(self.frames - self._emitted, reason))
                return ready
            if self.frames < self._emitted + size + self._context:
                self._wanted = self._emitted + size + self._context
                return ready
            ready.append(self._window(size, None))

    def last_window(self, reason: FinishReason) -> FrameWindow:
        """An empty final window, for a stream that ends early."""
        return FrameWindow(self._windows, self._codes(0, 0), 0, 0, self._emitted, reason)

    def _window(self, count: int, reason: FinishReason | None) -> FrameWindow:
        start = self._emitted
        if count == 0:
            return self.last_window(reason or FinishReason.STOP)
        complete = self.frames
        if reason is FinishReason.RUNAWAY:
            complete = complete_frames(self._count - 1, self._layout.num_codebooks)
        left, right = max(0, start - self._context), min(complete, start + count + self._context)
        window = FrameWindow(self._windows, self._codes(left, right), start - left, count, start, reason)
        self._emitted += count
        self._windows += 1
        return window

    def _codes(self, start: int, stop: int) -> np.ndarray:
        return undelay(self._columns, start + 1, stop + 1)
