"""Runs a speech plan on the engine: one request per part, one after another, joined into one stream."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from runtime.engine.contract import Event, SpeechEngine
from runtime.engine.types import CodebookLayout, FrameWindow, Request
from runtime.formats.errors import RequestError, classify, timed_out
from runtime.formats.speech_plan import PlannedPart, SpeechPlan
from runtime.formats.window import FinishReason, Window
from runtime.speech.context import Context, ContextLimits
from runtime.speech.prompts import Prefix
from runtime.speech.recovery import Remedy, next_remedy

_BITS = 63  # of a seed


@dataclass(frozen=True)
class Outcome:
    """How a part was spoken, for the report. Times in seconds of the whole stream, without the pause after the part."""

    speaker: str
    text: str
    start: float
    stop: float
    finish_reason: str
    retries: int


@dataclass
class _Attempt:
    """An attempt at a part: the windows not sent yet, and all codes so far."""

    number: int
    held: list[FrameWindow] = field(default_factory=list)
    codes: list[np.ndarray] = field(default_factory=list)
    released: int = 0  # frames sent

    @property
    def frames(self) -> int:
        return sum(codes.shape[1] for codes in self.codes)


class SpeechStream:
    """Speaks one plan.

    A part that fails (the guard ends it, or it stops too early) is retried with another seed, up to `max_retries`
    times, as long as none of its audio has been sent; with `hold_parts` no audio is sent before the part is known to be
    good. When the retries are used up, what the last attempt spoke is sent, but never becomes context. A part that ends
    with an error before any of it was sent is spoken once more after each remedy there is (`recovery.py`), unless the
    plan's `fallback_modes` says no. Everything but `cancel` and `start` runs on the one thread behind `defer`.

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
        self._num_codebooks, self._frame_seconds = layout.num_codebooks, frame_seconds
        self._send, self._defer = send, defer
        self._contexts = [Context(plan, prefix, layout, limits) for prefix in prefixes]
        self._deadline = plan.deadline
        self._index, self._attempt = 0, _Attempt(0)
        self._position = 0  # the frame of the stream at which the part begins
        self._outcomes: list[Outcome] = []
        self._frames = 0  # of all outcomes
        self._tried: list[Remedy] = []  # for the current part
        self._error_chain: list[str] = []
        self._cancelled = threading.Event()
        self._failed = False

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
        return self._plan.parts[self._index]

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
        if self._failed:
            return
        try:
            if isinstance(event, RequestError):
                self._recover(event)
            elif event.finish_reason is FinishReason.CANCELLED:
                self._end_cancelled()
            else:
                self._hear_window(event)
        except Exception as error:  # the client waiting for the stream must hear of it
            self._failed = True
            self._engine.cancel(self._request_id)
            self._send(classify(error))

    def _recover(self, error: RequestError) -> None:
        """Speak the part once more, or pass the error on."""
        may = self._plan.fallback_modes and not self._attempt.released
        remedy = next_remedy(error, self._tried) if may else None
        if remedy is None:
            self._send(error)
            return
        self._tried.append(remedy)
        self._error_chain.append(f"{type(error).__name__}: {remedy.value}")
        if remedy is Remedy.FREE_CACHES:
            self._engine.free_caches()
        else:
            self._contexts[self._part.prefix].forget()
        self._attempt = _Attempt(self._attempt.number)
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
            self._attempt = _Attempt(attempt.number + 1)
            self._submit()
        else:
            self._end_part(FinishReason.RUNAWAY if failed else reason)

    def _end_part(self, reason: FinishReason) -> None:
        part, attempt = self._part, self._attempt
        self._note(reason.value, attempt.frames)
        if reason is not FinishReason.RUNAWAY and attempt.frames:
            self._contexts[part.prefix].add(part, np.concatenate(attempt.codes, axis=1))
        stop = self._position + attempt.frames
        spoken_all = self._index + 1 == len(self._plan.parts)
        over = spoken_all or stop + part.pause >= self._plan.max_frames
        windows = [self._window(held) for held in attempt.held]
        if over:
            finish = self._finish_reason(spoken_all)
            cut_off = reason is FinishReason.RUNAWAY
            windows[-1] = replace(windows[-1], ends=cut_off, finish_reason=finish, report=self._report())
            self._release(windows)
            return
        windows[-1] = replace(windows[-1], ends=True, pause=part.pause)
        self._index, self._attempt, self._position = self._index + 1, _Attempt(0), stop + part.pause
        self._tried.clear()
        try:
            self._submit()  # first, so that the engine reads the next prompt while these windows are being sent
        finally:
            self._release(windows)

    def _end_cancelled(self) -> None:
        if self._attempt.released:
            self._note(FinishReason.CANCELLED.value, self._attempt.released)
        nothing = np.zeros((self._num_codebooks, 0), np.int32)
        window = FrameWindow(0, nothing, 0, 0, self._attempt.released, FinishReason.CANCELLED)
        self._send(
            replace(self._window(window), begins=False, finish_reason=window.finish_reason, report=self._report())
        )

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
        )

    def _release(self, windows: list[Window]) -> None:
        """Send windows of one attempt. If they are its last, the stream may already be at the next part."""
        if windows[0].part == self._index:
            self._attempt.held.clear()
            self._attempt.released += sum(window.count for window in windows)
        for window in windows:
            self._send(window)

    def _note(self, reason: str, frames: int) -> None:
        start, stop = (round(f * self._frame_seconds, 6) for f in (self._position, self._position + frames))
        part = self._part
        self._frames += frames
        self._outcomes.append(Outcome(part.speaker, part.text, start, stop, reason, self._attempt.number))

    def _finish_reason(self, spoken_all: bool) -> FinishReason:
        """The whole stream's finish reason: the worst among its parts."""
        reasons = {outcome.finish_reason for outcome in self._outcomes}
        if FinishReason.RUNAWAY.value in reasons:
            return FinishReason.RUNAWAY
        if FinishReason.LENGTH.value in reasons or not spoken_all:
            return FinishReason.LENGTH
        return FinishReason.STOP

    def _report(self) -> dict[str, Any]:
        return {
            **self._plan.about,
            "seed": self._plan.sampling.seed,
            "retries": sum(outcome.retries for outcome in self._outcomes),
            "frames": self._frames,
            "error_chain": self._error_chain,
            "parts": [asdict(outcome) for outcome in self._outcomes],
        }


def part_seed(seed: int, part: int, attempt: int) -> int:
    """The seed of one attempt at one part: the request's own for the first, a different one for each of the others."""
    if part == attempt == 0:
        return seed
    digest = hashlib.blake2b(f"{seed} {part} {attempt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> (64 - _BITS)
