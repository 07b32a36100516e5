"""Runs a speech plan on the engine: one request per part, one after another, joined into one stream."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from runtime.engine.contract import Event, SpeechEngine
from runtime.engine.types import CodebookLayout, FrameWindow, Request
from runtime.formats.errors import RequestError, classify, timed_out
from runtime.formats.speech_plan import PlannedPart, SpeechPlan
from runtime.formats.window import FinishReason, Window
from runtime.speech.attempt import Attempt, part_seed
from runtime.speech.context import Context, ContextLimits
from runtime.speech.outcomes import Outcomes
from runtime.speech.prompts import Prefix
from runtime.speech.recovery import Remedy, next_remedy


class SpeechStream:
    """Speaks one plan.

    A part that fails (the guard ends it, or it stops too early) is retried with another seed, up to `max_retries`
    times, as long as none of its audio has been sent; with `hold_parts` no audio is sent before the part is known to be
    good. When the retries are used up, what the last attempt spoke is sent, but never becomes context. A part that ends
    with an error before any of it was sent is spoken once more after each remedy there is (`recovery.py`), unless the
    plan's `fallback_modes` says no.

    Everything but `cancel` and `start` runs on the one thread behind `defer`.

    Args:
        send: called with each window in order; its last call has a finish reason or is an error.
        defer: runs functions later, in order, on a separate thread.
    """

    def __init__(
        self,
        request_id: str,
        plan: SpeechPlan,
        prefixes: Sequence[Prefix],
        engine: SpeechEngine,
        layout: CodebookLayout,
        limits: ContextLimits,
        frame_seconds: float,
        send: Callable[[Window | RequestError], None],
        defer: Callable[[Callable[[], None]], None],
    ) -> None:
        self._request_id, self._plan, self._engine = request_id, plan, engine
        self._num_codebooks = layout.num_codebooks
        self._send, self._defer = send, defer
        self._contexts = [Context(plan, prefix, layout, limits) for prefix in prefixes]
        self._deadline = plan.deadline
        self._parts, self._about = list(plan.parts), plan.about
        self._index, self._attempt = 0, Attempt(0)
        self._position = 0  # the frame of the stream at which the part begins
        self._outcomes = Outcomes(frame_seconds)
        self._tried: list[Remedy] = []  # for the current part
        self._cancelled = threading.Event()
        self._over = False

    def start(self) -> None:
        """Submit the first part. Raises the engine's error when it refuses the part."""
        self._submit()

    def cancel(self) -> None:
        """End the stream before the next step; its last window says `cancelled`."""
        self._cancelled.set()
        self._engine.cancel(self._request_id)

    def end_unheard(self) -> None:
        """Send nothing but the end, for a stream that was cancelled before it began."""
        self._defer(self._end_cancelled)

    @property
    def _part(self) -> PlannedPart:
        return self._parts[self._index]

    def _submit(self) -> None:
        """Submit the current part to the engine, with the attempt's seed."""
        part, seconds = self._part, self._deadline - time.monotonic()
        if seconds <= 0:
            raise timed_out()
        frames = min(part.max_frames, self._plan.max_frames - self._position)
        budget = min(frames, part.guard.max_frames or frames)
        seed = part_seed(self._plan.sampling.seed, self._index, self._attempt.number)
        request = Request(
            request_id=self._request_id,
            prompt=self._contexts[part.prefix].prompt(part, budget),
            sampling=replace(self._plan.sampling, seed=seed),
            windows=self._plan.windows,
            max_frames=frames,
            timeout=seconds,
            guard=part.guard,
            continues=self._index > 0 or self._attempt.number > 0 or bool(self._tried),
        )
        self._engine.submit(request, lambda event: self._defer(lambda: self._hear(event)))
        if self._cancelled.is_set():  # between two parts there was nothing to cancel
            self._engine.cancel(self._request_id)

    def _hear(self, event: Event) -> None:
        if isinstance(event, RequestError):
            self._guarded(self._recover, event)
        elif event.finish_reason is FinishReason.CANCELLED:
            self._guarded(self._end_cancelled)
        else:
            self._guarded(self._hear_window, event)

    def _guarded(self, work: Callable[..., None], *arguments: Any) -> None:
        """Do it, unless the stream is over; the client waiting for the stream hears of what fails."""
        if self._over:
            return
        try:
            work(*arguments)
        except Exception as error:
            self._engine.cancel(self._request_id)
            self._end(classify(error))

    def _end(self, last: Window | RequestError) -> None:
        self._over = True
        self._send(last)

    def _recover(self, error: RequestError) -> None:
        """Speak the part once more, or pass the error on."""
        may = self._plan.fallback_modes and not self._attempt.released
        remedy = next_remedy(error, self._tried) if may else None
        if remedy is None:
            self._end(error)
            return
        self._tried.append(remedy)
        self._outcomes.error_chain.append(f"{type(error).__name__}: {remedy.value}")
        if remedy is Remedy.FREE_CACHES:
            self._engine.free_caches()
        else:
            self._contexts[self._part.prefix].forget()
        self._attempt = Attempt(self._attempt.number)
        self._submit()

    def _hear_window(self, window: FrameWindow) -> None:
        attempt, reason = self._attempt, window.finish_reason
        attempt.codes.append(window.codes[:, window.context : window.context + window.count])
        attempt.held.append(window)
        if reason is None:
            if not self._plan.hold_parts:
                self._release([self._window(held) for held in attempt.held])
            return
        failed = reason is FinishReason.RUNAWAY or (
            reason is FinishReason.STOP and attempt.frames < self._part.least_frames
        )
        if failed and not attempt.released and attempt.number < self._plan.max_retries:
            self._attempt = Attempt(attempt.number + 1)
            self._submit()
        else:
            self._end_part(FinishReason.RUNAWAY if failed else reason)

    def _end_part(self, reason: FinishReason) -> None:
        part, attempt = self._part, self._attempt
        self._note(reason, attempt.frames)
        cut_off = reason is FinishReason.RUNAWAY
        if not cut_off and attempt.frames:
            self._contexts[part.prefix].add(part, np.concatenate(attempt.codes, axis=1))
        stop = self._position + attempt.frames
        waits = self._index + 1 == len(self._parts) and self._may_grow
        spoken_all = self._index + 1 == len(self._parts) and not waits
        pause = 0 if waits else part.pause
        windows = [self._window(held) for held in attempt.held]
        if spoken_all or stop + pause >= self._plan.max_frames:
            finish = self._outcomes.finish_reason(spoken_all)
            windows[-1] = self._finished(replace(windows[-1], ends=cut_off), finish)
            self._release(windows)
            return
        windows[-1] = replace(windows[-1], ends=cut_off or not waits, open=waits and not cut_off, pause=pause)
        self._index, self._attempt, self._position = self._index + 1, Attempt(0), stop + pause
        self._tried.clear()
        try:
            if not waits:
                self._submit()  # first, so that the engine reads the next prompt while these windows are being sent
        finally:
            self._release(windows)
        if waits:
            self._wait()

    @property
    def _may_grow(self) -> bool:
        """Whether more parts, or an error in their place, may follow those there are."""
        return False

    def _wait(self) -> None:
        """Every part is spoken, and there may be more."""
        raise NotImplementedError

    def _joint(self, pause: int) -> Window:
        """What follows the open end of the last part: nothing, then a pause."""
        nothing, before = np.zeros((self._num_codebooks, 0), np.int32), max(0, self._index - 1)
        speaker = self._parts[before].speaker if self._parts else ""
        return Window(nothing, start=self._position, pause=pause, part=before, speaker=speaker)

    def _end_cancelled(self) -> None:
        if self._over:
            return
        if self._attempt.released:
            self._note(FinishReason.CANCELLED, self._attempt.released)
        last = replace(self._joint(0), start=self._position + self._attempt.released)
        if self._index < len(self._parts):
            last = replace(last, part=self._index, speaker=self._part.speaker)
        self._end(self._finished(last, FinishReason.CANCELLED))

    def _window(self, own: FrameWindow) -> Window:
        start = self._position + own.start
        return Window(
            own.codes,
            own.context,
            own.count,
            start,
            begins=own.start == 0 and start > 0,
            part=self._index,
            speaker=self._part.speaker,
            said=asdict(self._part.said) if own.start == 0 else None,
        )

    def _release(self, windows: list[Window]) -> None:
        """Send windows of one attempt. If they are its last, the stream may already be at the next part."""
        if windows[0].part == self._index:
            self._attempt.held.clear()
            self._attempt.released += sum(window.count for window in windows)
        for window in windows:
            self._over = self._over or window.finish_reason is not None
            self._send(window)

    def _note(self, reason: FinishReason, frames: int) -> None:
        self._outcomes.add(self._part, self._position, frames, reason, self._attempt.number)

    def _finished(self, window: Window, reason: FinishReason) -> Window:
        """The window as the stream's last one."""
        report = self._outcomes.report(self._about, self._plan.sampling.seed, self._parts)
        return replace(window, finish_reason=reason, report=report)
