"""Which requests an engine admits, and the errors for requests that are refused or run out of time."""

from __future__ import annotations

from collections.abc import Container
from math import ceil

from runtime.engine.code_stream import CodeStream
from runtime.engine.types import CodebookLayout, Limits, Request
from runtime.formats import errors
from runtime.formats.errors import (
    GenerationTimeoutError,
    InvalidRequestError,
    ModelLoadingError,
    OverloadedError,
    quoted,
)

LONGEST_RETRY_SECONDS = 60


def admit(
    request: Request,
    ids: Container[str],
    live: int,
    waiting: int,
    limits: Limits,
    seconds_per_stream: float,
    closing: bool = False,
) -> None:
    """Raise unless a request may join those with these `ids`, of which `live` have a slot and `waiting` wait for one.

    A request that continues speech already being heard is never refused for overload. seconds_per_stream: how often a
    stream has ended so far, which is when somebody else may come.

    Raises:
        InvalidRequestError: its id is taken.
        OverloadedError: the queue is full.
        ModelLoadingError: the engine is stopping.
    """
    if closing:
        raise ModelLoadingError("the engine is stopping")
    if request.request_id in ids:
        raise InvalidRequestError(f"a request with the id {quoted(request.request_id)} is already being served")
    free = limits.max_streams - live
    if not request.continues and waiting >= limits.max_waiting + free:
        raise OverloadedError(
            f"{live} streams are live and {waiting} requests wait, which is the limit; "
            f"try again in {min(max(1, ceil(seconds_per_stream)), LONGEST_RETRY_SECONDS)} s"
        )


def timed_out(waited: bool) -> GenerationTimeoutError:
    """The error for a request whose time limit passed, either while it waited for a slot or while it spoke."""
    return errors.timed_out("while it waited for a free stream") if waited else errors.timed_out()


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
