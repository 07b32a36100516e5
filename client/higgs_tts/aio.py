"""The client for asyncio code.

It uses the same threaded connection as the other client; only the hand-over is asynchronous. grpc.aio would cancel
the call when the task that reads it is cancelled, and the server must never see such a cancellation.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from .base import BaseClient, BaseStream, Request
from .exchange import Event
from .protocol import Text, new_request_id
from .resume import ResumedExchange
from .session import Pieces, TakesText
from .speech import AudioChunk, Speech
from .voices import VoiceRequests

P = ParamSpec("P")
T = TypeVar("T")
StreamT = TypeVar("StreamT", bound="AsyncSpeechStream")


def _in_thread(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """Turn the method into a coroutine that blocks a thread instead of the loop."""

    @wraps(method)
    async def run(self: Any, *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(method, self, *args, **kwargs)

    return run


class AsyncHiggsClient(
    BaseClient["AsyncSpeechStream", "AsyncSpeechSession", Coroutine[Any, Any, Speech]],
    AbstractAsyncContextManager["AsyncHiggsClient"],
):
    """`HiggsClient` for asyncio: the same constructor and methods, and any number of tasks at a time.

    `stream` is called inside a running loop and returns at once; the request is sent meanwhile.
    """

    voices = _in_thread(VoiceRequests.voices)
    voice = _in_thread(VoiceRequests.voice)
    add_voice = _in_thread(VoiceRequests.add_voice)
    remove_voice = _in_thread(VoiceRequests.remove_voice)

    async def sample_rate(self) -> int:
        """Of the speech, in Hz. Asks the server once; raises ServerUnavailableError."""
        described = self._fleet.described
        if described is None:
            described = await asyncio.to_thread(self._fleet.describe)
        return described.sample_rate

    async def is_ready(self) -> bool:
        """Whether the server takes requests now; it has 2 s to say so."""
        return await asyncio.to_thread(self._fleet.is_ready)

    async def bundle(self) -> str:
        """The server's bundle by a word that another bundle does not have. Raises ServerUnavailableError."""
        return (await asyncio.to_thread(self._fleet.describe, again=True)).bundle

    @property
    def known_bundle(self) -> str:
        """The same as the server last said it, without asking; "" before it was asked for anything."""
        described = self._fleet.described
        return described.bundle if described is not None else ""

    async def close(self) -> None:
        """End every stream on the server, then disconnect. Takes up to the drain timeout."""
        await asyncio.shield(asyncio.to_thread(self._finalizer))

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    def _open(
        self, make: Request, text: Text, deadline: float, metadata: Mapping[str, str] | None
    ) -> "AsyncSpeechStream":
        return AsyncSpeechStream(self, *self._exchanged(make, text, deadline, metadata))

    def _open_session(self, make: Request, deadline: float, metadata: Mapping[str, str] | None) -> "AsyncSpeechSession":
        return AsyncSpeechSession(self, *self._exchanged(make, None, deadline, metadata))

    def _feed(self, session: "AsyncSpeechSession", pieces: Pieces) -> None:
        if isinstance(pieces, AsyncIterable):
            session._send_in_task(pieces)
        else:
            session._send_in_thread(pieces)

    def _exchanged(
        self, make: Request, text: Text | None, deadline: float, metadata: Mapping[str, str] | None
    ) -> "tuple[ResumedExchange, asyncio.Queue[Event]]":
        events: asyncio.Queue[Event] = asyncio.Queue()
        loop, request_id = asyncio.get_running_loop(), new_request_id()

        def deliver(event: Event) -> None:
            # Once the loop is closed nobody listens; the stream is still read to its end.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(events.put_nowait, event)

        request = partial(make, request_id, text)
        return self._ask(request_id, request, deadline, deliver, metadata=metadata, growing=text is None), events

    async def _collect(self, stream: Callable[[], "AsyncSpeechStream"]) -> Speech:
        async with stream() as chunks:
            return Speech.from_chunks([chunk async for chunk in chunks], chunks.started_at)


class AsyncSpeechStream(
    BaseStream["asyncio.Queue[Event]"], AsyncIterator[AudioChunk], AbstractAsyncContextManager["AsyncSpeechStream"]
):
    """`SpeechStream` for asyncio. Cancelling the task that waits for a chunk ends the generation.

    Leaving an `async with` block waits for the end; a stream that is merely dropped ends its generation without
    the wait.
    """

    async def __anext__(self) -> AudioChunk:
        """Raises the HiggsError that ended the stream; StreamStalledError when the next chunk is overdue."""
        if self._ended:
            raise StopAsyncIteration
        try:
            while self._is_replaying(event := await self._next_event()):
                pass
        except asyncio.CancelledError:
            await self.close()
            raise
        chunk = self._chunk(event)
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def close(self) -> None:
        """Cancel, and wait until the server has ended the generation (at most the drain timeout).

        A cancellation during the wait ends the wait, not the draining.
        """
        self._exchange.cancel()
        await asyncio.shield(asyncio.to_thread(self._exchange.wait))

    aclose = close  # as contextlib.aclosing calls it

    async def __aenter__(self: StreamT) -> StreamT:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _next_event(self) -> Event:
        # asyncio.wait_for loses a cancellation that comes with an event, before Python 3.12 (gh-86296).
        timer = asyncio.get_running_loop().call_later(self._seconds_to_wait(), self._give_up)
        try:
            return await self._events.get()
        finally:
            timer.cancel()

    def _give_up(self) -> None:
        """The next event is overdue, unless it arrived in this moment."""
        if self._events.empty():
            self._events.put_nowait(self._overdue())


class AsyncSpeechSession(TakesText, AsyncSpeechStream):
    """An `AsyncSpeechStream` that takes its text while it speaks."""

    _sender: "asyncio.Task[None] | None" = None

    def _send_in_task(self, pieces: AsyncIterable[str]) -> None:
        self._sender = asyncio.create_task(self._send_each(pieces))

    async def _send_each(self, pieces: AsyncIterable[str]) -> None:
        """As `_send_all`."""
        try:
            async for piece in pieces:
                self.send(piece)
            self.end()
        except Exception as error:
            self._exchange.fail(error)

    async def close(self) -> None:
        """As `AsyncSpeechStream.close`; no more pieces are taken."""
        if self._sender is not None:
            self._sender.cancel()
        await super().close()

    aclose = close
