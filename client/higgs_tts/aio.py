"""The client for asyncio code.

The wire is the threaded one of the other client; only the hand-over is asynchronous. grpc.aio cancels the
call when the task that reads it is cancelled, which is what the server must never see.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from .audio import Reference
from .client import BaseClient, prepare_request, stalled
from .errors import HiggsError
from .exchange import Event, Exchange
from .params import GenerationParams
from .protocol import Text
from .speech import AudioChunk, Speech
from .voices import VoiceProfile, add_voice, list_voices, remove_voice, show_voice


class AsyncHiggsClient(BaseClient, AbstractAsyncContextManager["AsyncHiggsClient"]):
    """`HiggsClient` for asyncio: the same constructor, and any number of tasks at a time."""

    async def sample_rate(self) -> int:
        """Of the speech, in Hz. Asks the server once; raises ServerUnavailableError."""
        return (await asyncio.to_thread(self._connection.describe)).sample_rate

    def stream(
        self,
        text: Text,
        *,
        voice: str | None = None,
        reference: Reference | None = None,
        params: GenerationParams | None = None,
    ) -> "AsyncSpeechStream":
        """The stream of chunks. The request is sent, and any HiggsError raised, once it is iterated."""

        async def start(deliver: Callable[[Event], None]) -> Exchange:
            request = await asyncio.to_thread(prepare_request, self._connection, text, voice, reference, params)
            return self._connection.open(request, deliver)

        return AsyncSpeechStream(self, start, self._first_chunk_timeout, self._chunk_timeout)

    async def synthesize(
        self,
        text: Text,
        *,
        voice: str | None = None,
        reference: Reference | None = None,
        params: GenerationParams | None = None,
    ) -> Speech:
        """The whole speech; takes and raises what `stream` does."""
        async with self.stream(text, voice=voice, reference=reference, params=params) as stream:
            chunks = [chunk async for chunk in stream]
            return Speech.from_chunks(chunks, stream.started_at)

    async def voices(self) -> list[VoiceProfile]:
        """Every voice profile of the server, by name, without audio and codes."""
        return await asyncio.to_thread(list_voices, self._connection)

    async def voice(self, name: str) -> VoiceProfile:
        """One voice profile, with its audio and its codes. Raises InvalidRequestError for an unknown one."""
        return await asyncio.to_thread(show_voice, self._connection, name)

    async def add_voice(
        self,
        name: str,
        reference: Reference | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        replace: bool = False,
    ) -> VoiceProfile:
        """Have the server keep a voice; takes and raises what `HiggsClient.add_voice` does."""
        return await asyncio.to_thread(add_voice, self._connection, name, reference, metadata, replace)

    async def remove_voice(self, name: str) -> None:
        """Remove an added voice. Raises InvalidRequestError for one of the bundle's and for an unknown one."""
        await asyncio.to_thread(remove_voice, self._connection, name)

    async def close(self) -> None:
        """End every stream on the server, then disconnect. Takes up to the drain timeout."""
        await asyncio.shield(asyncio.to_thread(self._finalizer))

    async def __aexit__(self, *error: object) -> None:
        await self.close()


class AsyncSpeechStream(AsyncIterator[AudioChunk], AbstractAsyncContextManager["AsyncSpeechStream"]):
    """`SpeechStream` for asyncio. Cancelling the task that waits for a chunk ends the generation.

    With `async with` the end is waited for; a stream that is merely dropped ends its generation without the
    wait.
    """

    def __init__(
        self,
        client: AsyncHiggsClient,
        start: Callable[[Callable[[Event], None]], Awaitable[Exchange]],
        first_chunk_timeout: float,
        chunk_timeout: float,
    ) -> None:
        self._client = client  # a client that nobody else holds must live as long as its streams
        self._start = start
        self._timeout = first_chunk_timeout
        self._chunk_timeout = chunk_timeout
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._exchange: Exchange | None = None
        self._ended = False

    @property
    def request_id(self) -> str | None:
        """The id under which the server knows this request; None before it is sent."""
        return self._exchange.request_id if self._exchange else None

    @property
    def started_at(self) -> float:
        """When the request was sent: seconds on the clock of time.monotonic()."""
        if self._exchange is None:
            raise HiggsError("The request is not sent before the stream is iterated.")
        return self._exchange.started_at

    async def __anext__(self) -> AudioChunk:
        """Raises the HiggsError that ended the stream; StreamStalledError when the next chunk is overdue."""
        if self._ended:
            raise StopAsyncIteration
        if self._exchange is None:
            self._exchange = await self._start(_deliver_to(self._events))
        try:
            event = await asyncio.wait_for(self._events.get(), self._timeout)
        except asyncio.TimeoutError:
            self.cancel()
            event = stalled(self._timeout)
        except asyncio.CancelledError:
            await self.aclose()
            raise
        if isinstance(event, AudioChunk):
            self._timeout = self._chunk_timeout
            return event
        self._ended = True
        if isinstance(event, HiggsError):
            raise event
        raise StopAsyncIteration

    def cancel(self) -> None:
        """Ask the server to finish now. The stream stays readable and soon ends as `cancelled`."""
        if self._exchange is not None:
            self._exchange.cancel()

    async def aclose(self) -> None:
        """Cancel, and wait until the server has ended the generation (at most the drain timeout).

        A cancellation during the wait ends the wait, not the draining.
        """
        if self._exchange is not None:
            self._exchange.cancel()
            await asyncio.shield(asyncio.to_thread(self._exchange.wait))

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        self.cancel()


def _deliver_to(events: "asyncio.Queue[Event]") -> Callable[[Event], None]:
    """Puts an event into a queue of the running loop, from another thread."""
    loop = asyncio.get_running_loop()

    def deliver(event: Event) -> None:
        # A loop that is closed meanwhile has nobody left to listen; the stream is still read to its end.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(events.put_nowait, event)

    return deliver
