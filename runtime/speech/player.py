"""Plays scripts on an engine: one part after another, each a request of its own, all of them one stream."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from runtime.engine.contract import Event, SpeechEngine
from runtime.engine.types import CodebookLayout, FinishReason, FrameWindow, Request
from runtime.formats.errors import GenerationTimeoutError, RequestError, classify
from runtime.speech.context import Context, ContextLimits
from runtime.speech.script import Part, Script

_BITS = 63  # of a seed


@dataclass(frozen=True)
class Cue:
    """One response: a window of codes as `FrameWindow` has it, and what it is in the whole stream.

    `start` counts frames of the whole stream. `begins`, `ends`: there is a join at its first or behind its last new
    frame. `pause`: frames of silence behind them. `finish_reason` and `report` are set on the last cue only.
    """

    codes: np.ndarray
    context: int
    count: int
    start: int
    begins: bool
    ends: bool
    pause: int
    part: int
    speaker: str
    finish_reason: FinishReason | None
    report: dict[str, Any] | None


@dataclass(frozen=True)
class Outcome:
    """How a part was spoken, for the report. Seconds of the whole stream, without the pause behind it."""

    speaker: str
    text: str
    start: float
    stop: float
    finish_reason: str
    retries: int


@dataclass
class _Take:
    """One attempt at a part: the windows that have not left yet, and all codes so far."""

    attempt: int
    held: list[FrameWindow] = field(default_factory=list)
    codes: list[np.ndarray] = field(default_factory=list)
    released: int = 0  # frames that have left

    @property
    def frames(self) -> int:
        return sum(codes.shape[1] for codes in self.codes)


class Player:
    """One script on its way through the engine.

    A part that fails (the guard ends it, or it stops too early) is tried again with another seed, `max_retries` times,
    as long as none of its audio has left; with `hold_parts` none does before the part is known to be good. A part that
    failed for good is heard as far as it went, and never becomes context. Everything but `cancel` and `start` happens
    on the one thread that `defer` runs things on.

    Args:
        send: called with each cue in order; its last call has a finish reason or is an error.
        defer: runs a function later, in order, on a thread of its own.
    """

    def __init__(
        self,
        request_id: str,
        script: Script,
        engine: SpeechEngine,
        layout: CodebookLayout,
        limits: ContextLimits,
        frame_seconds: float,
        send: Callable[[Cue | RequestError], None],
        defer: Callable[[Callable[[], None]], None],
    ) -> None:
        self._request_id, self._script, self._engine = request_id, script, engine
        self._num_codebooks, self._frame_seconds = layout.num_codebooks, frame_seconds
        self._send, self._defer = send, defer
        self._contexts = [Context(script, prefix, layout, limits) for prefix in range(len(script.prefixes))]
        self._deadline = time.monotonic() + script.timeout
        self._index, self._take = 0, _Take(attempt=0)
        self._position = 0  # the frame of the stream at which the part begins
        self._outcomes: list[Outcome] = []
        self._cancelled = threading.Event()

    def start(self) -> None:
        """Submit the first part. Raises what the engine refuses it with."""
        self._submit()

    def cancel(self) -> None:
        """End the stream before the next step; its last cue says `cancelled`."""
        self._cancelled.set()
        self._engine.cancel(self._request_id)

    def end_unheard(self) -> None:
        """Send nothing but the end, for a stream that was cancelled before it began."""
        self._defer(self._end_cancelled)

    @property
    def _part(self) -> Part:
        return self._script.parts[self._index]

    def _submit(self) -> None:
        """Hand the present part to the engine, with the attempt's seed."""
        part, seconds = self._part, self._deadline - time.monotonic()
        if seconds <= 0:
            raise GenerationTimeoutError("the request's time limit passed before its speech was complete")
        frames = min(part.max_frames, self._script.max_frames - self._position)
        budget = min(frames, part.guard.max_frames or frames)
        seed = part_seed(self._script.sampling.seed, self._index, self._take.attempt)
        request = Request(
            request_id=self._request_id,
            prompt=self._contexts[part.prefix].prompt(part, budget),
            sampling=replace(self._script.sampling, seed=seed),
            windows=self._script.windows,
            max_frames=frames,
            timeout=seconds,
            guard=part.guard,
            continues=self._index > 0 or self._take.attempt > 0,
        )
        self._engine.submit(request, lambda event: self._defer(lambda: self._hear(event)))
        if self._cancelled.is_set():  # between two parts there was nothing to cancel
            self._engine.cancel(self._request_id)

    def _hear(self, event: Event) -> None:
        try:
            if isinstance(event, RequestError):
                self._send(event)
            elif event.finish_reason is FinishReason.CANCELLED:
                self._end_cancelled()
            else:
                self._hear_window(event)
        except Exception as error:  # whoever waits for the stream must hear of it
            self._send(classify(error))

    def _hear_window(self, window: FrameWindow) -> None:
        take, reason = self._take, window.finish_reason
        take.codes.append(window.codes[:, window.context : window.context + window.count])
        take.held.append(window)
        if reason is None:
            if not self._script.hold_parts:
                self._release([self._cue(held) for held in take.held])
            return
        failed = reason is FinishReason.RUNAWAY or (
            reason is FinishReason.STOP and take.frames < self._part.least_frames
        )
        if failed and not take.released and take.attempt < self._script.max_retries:
            self._take = _Take(take.attempt + 1)
            self._submit()
        else:
            self._end_part(FinishReason.RUNAWAY if failed else reason)

    def _end_part(self, reason: FinishReason) -> None:
        part, take = self._part, self._take
        self._note(reason.value, take.frames)
        if reason is not FinishReason.RUNAWAY and take.frames:
            self._contexts[part.prefix].add(part, np.concatenate(take.codes, axis=1))
        stop = self._position + take.frames
        spoken_all = self._index + 1 == len(self._script.parts)
        over = spoken_all or stop + part.pause >= self._script.max_frames
        cues = [self._cue(held) for held in take.held]
        if over:
            finish = self._finish_reason(spoken_all)
            cut_off = reason is FinishReason.RUNAWAY
            cues[-1] = replace(cues[-1], ends=cut_off, finish_reason=finish, report=self._report())
            self._release(cues)
            return
        cues[-1] = replace(cues[-1], ends=True, pause=part.pause)
        self._index, self._take, self._position = self._index + 1, _Take(attempt=0), stop + part.pause
        try:
            self._submit()  # first: the engine reads the next prompt while these windows are on their way
        finally:
            self._release(cues)

    def _end_cancelled(self) -> None:
        if self._take.released:
            self._note(FinishReason.CANCELLED.value, self._take.released)
        nothing = np.zeros((self._num_codebooks, 0), np.int32)
        window = FrameWindow(0, nothing, 0, 0, self._take.released, FinishReason.CANCELLED)
        self._send(replace(self._cue(window), begins=False, finish_reason=window.finish_reason, report=self._report()))

    def _cue(self, window: FrameWindow) -> Cue:
        start = self._position + window.start
        return Cue(
            codes=window.codes,
            context=window.context,
            count=window.count,
            start=start,
            begins=window.start == 0 and start > 0,
            ends=False,
            pause=0,
            part=self._index,
            speaker=self._part.speaker,
            finish_reason=None,
            report=None,
        )

    def _release(self, cues: list[Cue]) -> None:
        """Let cues of one take leave. Where they are the last of theirs, the player may be at the next part already."""
        if cues[0].part == self._index:
            self._take.held.clear()
            self._take.released += sum(cue.count for cue in cues)
        for cue in cues:
            self._send(cue)

    def _note(self, reason: str, frames: int) -> None:
        start, stop = (round(f * self._frame_seconds, 6) for f in (self._position, self._position + frames))
        part = self._part
        self._outcomes.append(Outcome(part.speaker, part.text, start, stop, reason, self._take.attempt))

    def _finish_reason(self, spoken_all: bool) -> FinishReason:
        """The whole stream's: the worst of its parts'."""
        reasons = {outcome.finish_reason for outcome in self._outcomes}
        if FinishReason.RUNAWAY.value in reasons:
            return FinishReason.RUNAWAY
        if FinishReason.LENGTH.value in reasons or not spoken_all:
            return FinishReason.LENGTH
        return FinishReason.STOP

    def _report(self) -> dict[str, Any]:
        return {
            **self._script.about,
            "seed": self._script.sampling.seed,
            "retries": sum(outcome.retries for outcome in self._outcomes),
            "parts": [asdict(outcome) for outcome in self._outcomes],
        }


def part_seed(seed: int, part: int, attempt: int) -> int:
    """The seed of one attempt at one part: the request's own for the first, and as different for all the others."""
    if part == attempt == 0:
        return seed
    digest = hashlib.blake2b(f"{seed} {part} {attempt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> (64 - _BITS)
