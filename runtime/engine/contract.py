"""What every engine offers: submit a request, receive windows of codec frames as events, cancel, statistics."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Protocol

from runtime.engine.stream import CodeStream
from runtime.engine.types import CodebookLayout, EngineStats, FrameWindow, Limits, Request
from runtime.formats.errors import InvalidRequestError, RequestError

Event = FrameWindow | RequestError

logger = logging.getLogger(__name__)


class SpeechEngine(Protocol):
    """An engine of any kind; `engine.Engine` explains each call."""

    def submit(self, request: Request, on_event: Callable[[Event], None]) -> None: ...
    def stream(self, request: Request) -> Iterator[FrameWindow]: ...
    def cancel(self, request_id: str) -> bool: ...
    def stats(self) -> EngineStats: ...
    def close(self) -> None: ...


def iterate(engine: SpeechEngine, request: Request) -> Iterator[FrameWindow]:
    """Submit and iterate over the windows; leaving the loop early cancels. Raises the request's error."""
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


def code_stream(request: Request, layout: CodebookLayout, limits: Limits) -> CodeStream:
    """The empty code stream of a request, as long as its prompt leaves room for.

    Raises InvalidRequestError when there is no room to speak.
    """
    # Column 0 and the columns in which the last frame's later codebooks arrive need positions too.
    room = limits.max_positions - len(request.prompt) - layout.num_codebooks
    if room < 1:
        raise InvalidRequestError(
            f"the prompt takes {len(request.prompt)} positions of {limits.max_positions}, which leaves no room to speak"
        )
    return CodeStream(
        layout,
        request.windows,
        min(request.max_frames, room),
        limits.context_frames,
        request.guard,
        limits.silence_codes,
    )


def tell(request_id: str, on_event: Callable[[Event], None], event: Event) -> None:
    """Hand an event to its listener; a listener's own failure must not end the others' streams."""
    try:
        on_event(event)
    except Exception:
        logger.exception("the listener of request %s failed", request_id)
