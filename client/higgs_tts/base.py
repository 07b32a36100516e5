"""What the clients for synchronous code and for asyncio share: everything but the waiting."""

import math
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Generic, TypeVar, cast, overload

import grpc

from .audio import Reference, load_reference
from .connection import Connection
from .errors import GenerationTimeoutError, HiggsError, StreamStalledError, checked_seconds
from .exchange import REPLAYING, Event
from .fleet import Fleet
from .params import GenerationParams
from .protocol import Text, speech_request
from .resume import ResumedExchange
from .session import Pieces, TakesText, is_in_pieces
from .speech import AudioChunk

DEFAULT_URL = "localhost:8001"
CHUNK_TIMEOUT = 30.0
# A request may wait for a slot and has its prompt read before the first chunk.
FIRST_CHUNK_TIMEOUT = 120.0
CONNECT_TIMEOUT = 10.0
DRAIN_TIMEOUT = 10.0

StreamT = TypeVar("StreamT")
SessionT = TypeVar("SessionT")
SpeechT = TypeVar("SpeechT")
QueueT = TypeVar("QueueT")
Request = Callable[[str, Text | None], Any]  # made for an id and a text, None for one that comes in pieces


class BaseClient(Generic[StreamT, SessionT, SpeechT]):
    """The connections and the deadlines of a client.

    url: HOST:PORT of Triton's gRPC endpoint; the first request connects to it. Of several servers of one bundle each
    stream takes the one with fewest of this client's: "HOST:PORT,HOST:PORT", a sequence of them, or "dns:///NAME:PORT",
    all addresses of a name, which is asked again every ten seconds.
    chunk_timeout: seconds between two chunks after which a stream counts as stalled.
    first_chunk_timeout: the same for the first chunk, which also waits for a free slot.
    connect_timeout: seconds the server may take to answer at all.
    drain_timeout: seconds an abandoned stream may take to end on the server.
    resume: ask again when a stream breaks because the server died, failed or was restarted, and go on where it broke:
    each other server of several, else the same twice at most, within the call's `timeout`, if it is ready again
    within `first_chunk_timeout`, or within `connect_timeout` where nothing was heard yet.
    watch: ask the server to end the generations of this process as soon as the process is gone.
    credentials: for an encrypted connection, as from `grpc.ssl_channel_credentials()`.
    server_name: the name on the server's certificate, where it is not the url's.
    metadata: sent with every gRPC call, such as {"authorization": "Bearer …"}. Read again for each call, so that you
    can renew a token in it.
    Raises ServerUnavailableError for a url of another form, InvalidRequestError for impossible timeouts and metadata.
    """

    def __init__(
        self,
        url: str | Sequence[str] = DEFAULT_URL,
        chunk_timeout: float = CHUNK_TIMEOUT,
        *,
        first_chunk_timeout: float = FIRST_CHUNK_TIMEOUT,
        connect_timeout: float = CONNECT_TIMEOUT,
        drain_timeout: float = DRAIN_TIMEOUT,
        watch: bool = True,
        resume: bool = True,
        credentials: grpc.ChannelCredentials | None = None,
        metadata: Mapping[str, str] | None = None,
        server_name: str | None = None,
    ) -> None:
        self._chunk_timeout = checked_seconds("chunk_timeout", chunk_timeout)
        self._first_chunk_timeout = checked_seconds("first_chunk_timeout", first_chunk_timeout)
        self._fleet = Fleet(
            url,
            lambda address, name: Connection(
                address, credentials, metadata, watch, connect_timeout, drain_timeout, server_name or name
            ),
        )
        self._ask = partial(
            ResumedExchange, self._fleet, resume=resume, patience=(connect_timeout, first_chunk_timeout)
        )
        # Runs when the client is garbage-collected, or else at the interpreter's exit.
        self._finalizer = weakref.finalize(self, self._fleet.close)

    @overload
    def stream(
        self,
        text: Text,
        *,
        voice: str | None = None,
        reference: Reference | None = None,
        params: GenerationParams | None = None,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> StreamT: ...

    @overload
    def stream(
        self,
        text: Pieces,
        *,
        voice: str | None = None,
        reference: Reference | None = None,
        params: GenerationParams | None = None,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> SessionT: ...

    def stream(
        self,
        text: Text | Pieces,
        *,
        voice: str | None = None,
        reference: Reference | None = None,
        params: GenerationParams | None = None,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> StreamT | SessionT:
        """Send the request and return its stream of chunks.

        text: plain, a transcript such as "Anna: Hello.\\nBob: Hi.", or a conversation [{"role": …, "content": …}, …];
        or the pieces of a plain text or a transcript that is still being written, taken as they come: the stream is a
        session (see `session`).
        voice: name of a voice profile on the server. reference: a recording to take the voice from instead; for several
        speakers use `GenerationParams.speakers`. timeout: seconds from now in which the whole
        speech must arrive. metadata: of this call, beside the client's, such as {"traceparent": …}.
        Raises InvalidRequestError here for an empty text. AudioFormatError and ServerUnavailableError are raised here
        too, but in asyncio while iterating, like any other HiggsError. Leaving the stream early ends the generation on
        the server.
        """
        make = partial(self._request, voice, reference, params, timeout)
        deadline = _deadline(timeout)
        if not is_in_pieces(text):
            return self._open(make, cast(Text, text), deadline, metadata)
        session = self._open_session(make, deadline, metadata)
        self._feed(session, text)
        return session

    def session(
        self,
        *,
        voice: str | None = None,
        reference: Reference | None = None,
        params: GenerationParams | None = None,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> SessionT:
        """A stream that takes its text while it speaks; see `TakesText`. Takes and raises what `stream` does.

        In a dialogue only those can speak whom `GenerationParams.speakers` names. A text that is cut into pieces in
        another way is spoken alike: as a whole text with the chunk method `sentence`.
        """
        make = partial(self._request, voice, reference, params, timeout)
        return self._open_session(make, _deadline(timeout), metadata)

    def synthesize(
        self,
        text: Text | Pieces,
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

    def _request(
        self,
        voice: str | None,
        reference: Reference | None,
        params: GenerationParams | None,
        timeout: float | None,
        request_id: str,
        text: Text | None,
    ) -> Any:
        """The request with its text; None for one that grows."""
        limits = self._fleet.describe(timeout)
        audio = load_reference(reference.audio, limits) if reference else None
        options = params.to_options() if params else None
        words = reference.text if reference else None
        return speech_request(request_id, "" if text is None else text, voice, audio, words, options, text is None)

    def _open(self, make: Request, text: Text, deadline: float, metadata: Mapping[str, str] | None) -> StreamT:
        raise NotImplementedError

    def _open_session(self, make: Request, deadline: float, metadata: Mapping[str, str] | None) -> SessionT:
        raise NotImplementedError

    def _feed(self, session: SessionT, pieces: Pieces) -> None:
        raise NotImplementedError

    def _collect(self, stream: Callable[[], StreamT]) -> SpeechT:
        raise NotImplementedError


def _deadline(timeout: float | None) -> float:
    """On the clock of time.monotonic()."""
    return math.inf if timeout is None else time.monotonic() + checked_seconds("timeout", timeout)


class BaseStream(Generic[QueueT]):
    """One request, its deadlines and its end."""

    def __init__(self, client: BaseClient[Any, Any, Any], exchange: ResumedExchange, events: QueueT) -> None:
        self._events = events
        self._client = client  # keeps the client alive as long as its streams
        self._exchange = exchange
        self._timeout = client._first_chunk_timeout
        self._ended = False
        self._text_ended = not isinstance(self, TakesText)

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
        patience = self._timeout if self._text_ended else threading.TIMEOUT_MAX  # for text, and then for its sound
        return max(0.0, min(patience, self._exchange.deadline - time.monotonic()))

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
