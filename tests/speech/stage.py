"""Small plans, and an engine that says what a test tells it to."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from runtime.engine.contract import Event
from runtime.engine.types import (
    AudioSegment,
    CodebookLayout,
    EngineStats,
    FrameWindow,
    Prompt,
    Request,
    TextSegment,
)
from runtime.formats.part_text import PartText, Word
from runtime.formats.speech_plan import NO_GUARD, PlannedPart, SamplingParameters, SpeechPlan, WindowPlan
from runtime.formats.window import FinishReason, Window
from runtime.speech.context import ContextLimits
from runtime.speech.growing_stream import GrowingStream
from runtime.speech.prompts import Prefix
from runtime.speech.speech_stream import SpeechStream

LAYOUT = CodebookLayout(num_codebooks=2, codebook_size=12, stream_bos_id=10, stream_eos_id=11)
FRAME_SECONDS = 0.04


PREFIXES: tuple[Prefix, ...] = ((TextSegment(np.array([1, 2, 3])),), (TextSegment(np.array([6])),))


def part(speaker: str = "", ids: tuple[int, ...] = (7, 8), **changes: Any) -> PlannedPart:
    values: dict[str, Any] = {
        "speaker": speaker,
        "text": f"{speaker} says {ids}",
        "said": PartText(f"{speaker} says {ids}", 0, 10, 1.2, (Word("One", 0, 4, 0.4), Word("two", 5, 10, 0.6))),
        "prefix": 0,
        "ids": ids,
        "cloned": True,
        "pause": 5,
        "max_frames": 100,
        "expected_frames": 40,
        "least_frames": 0,
        "guard": NO_GUARD,
    }
    return PlannedPart(**values | changes)


def plan(*parts: PlannedPart, **changes: Any) -> SpeechPlan:
    values: dict[str, Any] = {
        "prefixes": ((1, 2, 3), (6,)),
        "closing": (4, 5),
        "parts": parts,
        "sampling": SamplingParameters(0.7, 50, 0.9, 7, 2, 42),
        "windows": WindowPlan(10, 1.0, 10),
        "max_frames": 1000,
        "timeout": 60.0,
        "arrived": time.monotonic(),
        "context_parts": 2,
        "max_retries": 2,
        "hold_parts": False,
        "fallback_modes": True,
        "text_timeout": 0.0,
        "about": {"voices": {}},
    }
    return SpeechPlan(**values | changes)


def codes(frames: int, first: int = 0) -> np.ndarray:
    """int32 [num_codebooks, frames], different from frame to frame."""
    return (np.arange(first, first + frames) % 10 * np.ones((2, 1))).astype(np.int32)


def flat(prompt: Prompt) -> list[int]:
    """A prompt's positions: text ids, and each column's code of the first codebook plus 1000."""
    rows = []
    for segment in prompt.segments:
        rows += (segment.columns[:, 0] + 1000 if isinstance(segment, AudioSegment) else segment.ids).tolist()
    return rows


class Engine:
    """Obeys the engine's contract: one stream an id at a time, events in order, nothing after the last."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.refusal: Exception | None = None
        self._listeners: dict[str, Callable[[Event], None]] = {}
        self._said = 0
        self.caches_freed = 0

    broken = None

    @property
    def live(self) -> bool:
        return bool(self._listeners)

    def submit(self, request: Request, on_event: Callable[[Event], None]) -> None:
        assert request.request_id not in self._listeners, "two streams under one id"
        if self.refusal is not None:
            raise self.refusal
        self.requests.append(request)
        self._listeners[request.request_id] = on_event
        self._said = 0

    def say(self, frames: int, reason: FinishReason | None = None) -> np.ndarray:
        """One window of so many new frames from the stream that is live; returns their codes."""
        (request_id,) = self._listeners
        start, context = self._said, min(self._said, 3)
        window = FrameWindow(0, codes(context + frames, start - context), context, frames, start, reason)
        self._said += frames
        self._tell(request_id, window, over=reason is not None)
        return codes(frames, start)

    def fail(self, error: Exception) -> None:
        (request_id,) = self._listeners
        self._tell(request_id, error, over=True)

    def cancel(self, request_id: str) -> bool:
        if request_id not in self._listeners:
            return False
        self.say(0, FinishReason.CANCELLED)
        return True

    def free_caches(self) -> None:
        self.caches_freed += 1

    def stats(self) -> EngineStats:
        raise NotImplementedError

    def close(self) -> None: ...

    def _tell(self, request_id: str, event: Event, over: bool) -> None:
        listener = self._listeners.pop(request_id) if over else self._listeners[request_id]
        listener(event)


class Stage:
    """A speech stream over that engine. What it defers is done by `run`; `heard` is what it sent, with errors."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.heard: list[Any] = []
        self.submissions_when_sent: list[int] = []
        self.waits: list[bool] = []
        self._deferred: list[Callable[[], None]] = []

    def speak(self, written: SpeechPlan) -> SpeechStream:
        stream = SpeechStream(*self._arguments(written))
        stream.start()
        return stream

    def speak_growing(self, written: SpeechPlan) -> GrowingStream:
        stream = GrowingStream(*self._arguments(written), waits=self.waits.append)
        stream.start()
        return stream

    def _arguments(self, written: SpeechPlan) -> tuple[Any, ...]:
        limits, defer = ContextLimits(4096, 4096), self._deferred.append
        return "id", written, PREFIXES, self.engine, LAYOUT, limits, FRAME_SECONDS, self._send, defer

    def say(self, frames: int, reason: FinishReason | None = None) -> np.ndarray:
        said = self.engine.say(frames, reason)
        self.run()
        return said

    def run(self) -> None:
        while self._deferred:
            self._deferred.pop(0)()

    def _send(self, event: Any) -> None:
        self.heard.append(event)
        self.submissions_when_sent.append(len(self.engine.requests))

    @property
    def windows(self) -> list[Window]:
        return [event for event in self.heard if isinstance(event, Window)]

    @property
    def report(self) -> dict[str, Any]:
        assert self.heard[-1].report is not None
        return self.heard[-1].report
