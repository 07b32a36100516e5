"""The client for synchronous code, and what it shares with the asyncio one: everything but the waiting."""

import math
import queue
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Generic, TypeVar

import grpc

from .audio import Reference, load_reference
from .connection import Connection
from .errors import GenerationTimeoutError, HiggsError, InvalidRequestError, StreamStalledError, checked_seconds
from .exchange import REPLAYING, Event
from .params import GenerationParams
from .protocol import Text, new_request_id, speech_request
from .resume import ResumedExchange
from .speech import AudioChunk, Speech
from .voices import VoiceRequests

DEFAULT_URL = "localhost:8001"
CHUNK_TIMEOUT = 30.0
# A request may wait for a slot and has its prompt read before the first chunk.
FIRST_CHUNK_TIMEOUT = 120.0
CONNECT_TIMEOUT = 10.0
DRAIN_TIMEOUT = 10.0

StreamT = TypeVar("StreamT")
SpeechT = TypeVar("SpeechT")
QueueT = TypeVar("QueueT")


class BaseClient(Generic[StreamT, SpeechT]):
    """The connection and the deadlines of a client.

    url: HOST:PORT of Triton's gRPC endpoint; the first request connects to it.
    chunk_timeout: seconds between two chunks after which a stream counts as stalled.
    first_chunk_timeout: the same for the first chunk, which also waits for a free slot.
    connect_timeout: seconds the server may take to answer at all.
    drain_timeout: seconds an abandoned stream may take to end on the server.
    resume: ask again when a stream breaks because the server died, failed or was restarted, and go on where it broke:
    twice at most, within the call's `timeout`, if the server is ready again within `first_chunk_timeout`, or within
    `connect_timeout` where nothing was heard yet.
    watch: ask the server to end the generations of this process as soon as the process is gone.
    credentials: for an encrypted connection, as from `grpc.ssl_channel_credentials()`.
    metadata: sent with every gRPC call, such as {"authorization": "Bearer …"}. Read again for each call, so that you
    can renew a token in it.
    Raises ServerUnavailableError for a url of another form, InvalidRequestError for impossible timeouts and metadata.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        chunk_timeout: float = CHUNK_TIMEOUT,
        *,
        first_chunk_timeout: float = FIRST_CHUNK_TIMEOUT,
        connect_timeout: float = CONNECT_TIMEOUT,
        drain_timeout: float = DRAIN_TIMEOUT,
        watch: bool = True,
        resume: bool = True,
        credentials: grpc.ChannelCredentials | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self._chunk_timeout = checked_seconds("chunk_timeout", chunk_timeout)
        self._first_chunk_timeout = checked_seconds("first_chunk_timeout", first_chunk_timeout)
        self._connection = Connection(url, credentials, metadata, watch, connect_timeout, drain_timeout)
        self._ask = partial(
            ResumedExchange, self._connection, resume=resume, patience=(connect_timeout, first_chunk_timeout)
        )
        # Runs when the client is garbage-collected, or else at the interpreter's exit.
        self._finalizer = weakref.finalize(self, self._connection.close)

    def stream(
        self,
        text: Text,
        *,
        voice: str | None = None,
        reference: Reference | None = None,
        params: GenerationParams | None = None,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> StreamT:
        """Send the request and return its stream of chunks.

        text: plain, a transcript such as "Anna: Hello.\\nBob: Hi.", or a conversation [{"role": …, "content": …}, …].
        voice: name of a voice profile on the server. reference: a recording to take the voice from instead; for several
        speakers use `GenerationParams.speakers`. timeout: seconds from now in which the whole speech must arrive.
        metadata: of this call, beside the client's, such as {"traceparent": …}.
        Raises InvalidRequestError here for an empty text. AudioFormatError and ServerUnavailableError are raised here
        too, but in asyncio while iterating, like any other HiggsError. Leaving the stream early ends the generation on
        the server.
        """
        if not (text.strip() if isinstance(text, str) else text):
            raise InvalidRequestError("The text is empty; give at least one word.")
        deadline = math.inf if timeout is None else time.monotonic() + checked_seconds("timeout", timeout)
        request_id = new_request_id()

        def make_request() -> Any:
            limits = self._connection.describe(timeout)
            audio = load_reference(reference.audio, limits) if reference else None
            options = params.to_options() if params else None
            return speech_request(request_id, text, voice, audio, reference.text if reference else None, options)

        return self._open(request_id, make_request, deadline, metadata)

    def synthesize(
        self,
        text: Text,
        *,
        voice: str | None = None,
        reference: Reference | None = None,
        params: GenerationParams | None = None,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> SpeechT:
        """The whole speech; takes and raises what `stream` does."""
        return self._collect(
            partial(
                self.stream, text, voice=voice, reference=reference, params=params, timeout=timeout, metadata=metadata
            )
        )

    def _open(
        self, request_id: str, make_request: Callable[[], Any], deadline: float, metadata: Mapping[str, str] | None
    ) -> StreamT:
        raise NotImplementedError

    def _collect(self, stream: Callable[[], StreamT]) -> SpeechT:
        raise NotImplementedError


class BaseStream(Generic[QueueT]):
    """One request, its deadlines and its end."""

    def __init__(self, client: BaseClient[Any, Any], exchange: ResumedExchange, events: QueueT) -> None:
        self._events = events
        self._client = client  # keeps the client alive as long as its streams
        self._exchange = exchange
        self._timeout = client._first_chunk_timeout
        self._ended = False

    @property
    def request_id(self) -> str:
        """The id under which the server knows this request; another one after the stream broke and was resumed."""
        return self._exchange.request_id

    @property
    def started_at(self) -> float:
        """When the request was sent: seconds on the clock of time.monotonic()."""
        return self._exchange.started_at

    def cancel(self) -> None:
        """Ask the server to finish now. The stream stays readable and soon ends as `cancelled`."""
        self._exchange.cancel()

    def _seconds_to_wait(self) -> float:
        """Seconds left to wait for the next event."""
        return max(0.0, min(self._timeout, self._exchange.deadline - time.monotonic()))

    def _is_replaying(self, event: Event) -> bool:
        """Whether the event tells only that the request was asked again; it may then take as long as a first chunk."""
        if event == REPLAYING:
            self._timeout = self._client._first_chunk_timeout
        return event == REPLAYING

    def _overdue(self) -> HiggsError:
        """The error to raise when the next event did not arrive in time."""
        self.cancel()
        if time.monotonic() >= self._exchange.deadline:
            return GenerationTimeoutError("The speech took longer than the call's timeout.", request_id=self.request_id)
        return StreamStalledError(
            f"No audio came for {self._timeout:g} s; the server may be overloaded or its model dead.",
            request_id=self.request_id,
        )

    def _chunk(self, event: Event) -> AudioChunk | None:
        """The chunk, or None at the end. Raises the error that ended the stream."""
        if isinstance(event, AudioChunk):
            self._timeout = self._client._chunk_timeout
            return event
        self._ended = True
        if isinstance(event, Exception):
            raise event
        return None

    def __del__(self) -> None:
        self._exchange.cancel()


class HiggsClient(BaseClient["SpeechStream", Speech], VoiceRequests, AbstractContextManager["HiggsClient"]):
    """Speaks to one server. One client serves any number of threads and of streams at a time."""

    def bundle(self) -> str:
        """The server's bundle by a word that another bundle does not have. Raises ServerUnavailableError."""
        return self._connection.describe(again=True).bundle

    @property
    def sample_rate(self) -> int:
        """Of the speech, in Hz. Asks the server once; raises ServerUnavailableError."""
        return self._connection.describe().sample_rate

    def close(self) -> None:
        """End every stream on the server, then disconnect. Blocks up to the drain timeout."""
        self._finalizer()

    def __exit__(self, *error: object) -> None:
        self.close()

    def _open(
        self, request_id: str, make_request: Callable[[], Any], deadline: float, metadata: Mapping[str, str] | None
    ) -> "SpeechStream":
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        return SpeechStream(
            self, self._ask(request_id, make_request(), deadline, events.put, metadata=metadata), events
        )

    def _collect(self, stream: Callable[[], "SpeechStream"]) -> Speech:
        with stream() as chunks:
            return Speech.from_chunks(list(chunks), chunks.started_at)


class SpeechStream(
    BaseStream["queue.SimpleQueue[Event]"], Iterator[AudioChunk], AbstractContextManager["SpeechStream"]
):
    """The chunks of one request, in order, as they arrive; the last one has a finish reason.

    A context manager: leaving it waits until the server has ended the generation. A stream that is merely
    dropped ends its generation too, without the wait.
    """

    def __next__(self) -> AudioChunk:
        """Raises the HiggsError that ended the stream; StreamStalledError when the next chunk is overdue."""
        if self._ended:
            raise StopIteration
        event: Event = None
        try:
            while self._is_replaying(event := self._events.get(timeout=self._seconds_to_wait())):
                pass
        except queue.Empty:
            event = self._overdue()
        chunk = self._chunk(event)
        if chunk is None:
            raise StopIteration
        return chunk

    def close(self) -> None:
        """Cancel, and wait until the server has ended the generation (at most the drain timeout)."""
        self._exchange.cancel()
        self._exchange.wait()

    def __exit__(self, *error: object) -> None:
        self.close()
