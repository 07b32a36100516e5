"""Orders for a TensorRT-LLM engine over the stand-in executor, and who listens to them."""

from __future__ import annotations

import threading

from runtime.engine.contract import Event
from runtime.engine.trtllm.engine import TrtllmEngine
from runtime.engine.types import Limits, Request
from runtime.formats.errors import RequestError

LIMITS = Limits(max_streams=3, max_waiting=2, max_positions=1024, prefill_tokens_per_step=32, context_frames=10)


class Listener:
    """Collects a stream's events."""

    def __init__(self, engine: TrtllmEngine, request: Request) -> None:
        self.events: list[Event] = []
        self._over, self._first = threading.Event(), threading.Event()
        engine.submit(request, self)

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self._first.set()
        if isinstance(event, RequestError) or event.finish_reason:
            self._over.set()

    def begun(self) -> Listener:
        assert self._first.wait(20)
        return self

    def over(self) -> Event:
        assert self._over.wait(20)
        return self.events[-1]
