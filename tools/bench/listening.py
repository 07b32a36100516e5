"""Listening to an engine without a server."""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue

from runtime.engine.contract import Event, SpeechEngine
from runtime.engine.types import FrameWindow, Request
from runtime.formats.errors import RequestError


def listen(engine: SpeechEngine, request: Request) -> Iterator[FrameWindow]:
    """Submit a request and iterate over its windows; leaving the loop early cancels. Raises the request's error."""
    events: SimpleQueue[Event] = SimpleQueue()
    engine.submit(request, events.put)
    over = False
    try:
        while not over:
            event = events.get()
            over = isinstance(event, RequestError) or event.finish_reason is not None
            if isinstance(event, RequestError):
                raise event
            yield event
    finally:
        if not over:
            engine.cancel(request.request_id)
