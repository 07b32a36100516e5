"""The client for ordinary code: a stream of chunks, or the whole speech at once."""

import queue
import weakref
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import grpc

from .audio import Reference, load_reference
from .connection import Connection
from .errors import HiggsError, InvalidRequestError, StreamStalledError
from .exchange import Event, Exchange
from .params import GenerationParams
from .protocol import Text, speech_request
from .speech import AudioChunk, Speech
from .voices import VoiceProfile, add_voice, list_voices, remove_voice, show_voice

DEFAULT_URL = "localhost:8001"
CHUNK_TIMEOUT = 30.0
# A request may wait for a slot and has its prompt read before the first chunk.
FIRST_CHUNK_TIMEOUT = 120.0
CONNECT_TIMEOUT = 10.0
DRAIN_TIMEOUT = 10.0


class BaseClient:
    """The connection and the deadlines of a client.

    url: HOST:PORT of Triton's gRPC endpoint; connected to by the first request.
    chunk_timeout: seconds between two chunks after which a stream counts as stalled.
    first_chunk_timeout: the same for the first chunk, which also waits for a free slot.
    connect_timeout: seconds the server may take to answer at all.
    drain_timeout: seconds an abandoned stream may take to end on the server.
    watch: ask the server to end the generations of this process as soon as the process is gone.
    credentials: for an encrypted connection, as from `grpc.ssl_channel_credentials()`.
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
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._chunk_timeout = chunk_timeout
        self._first_chunk_timeout = first_chunk_timeout
        self._connection = Connection(
            url,
            connect_timeout=connect_timeout,
            drain_timeout=drain_timeout,
            watch=watch,
            credentials=credentials,
        )
        # Runs when the client is forgotten, and at the interpreter's exit for one that is not.
        self._finalizer = weakref.finalize(self, self._connection.close)


class HiggsClient(BaseClient, AbstractContextManager["HiggsClient"]):
    """Speaks to one server. One client serves any number of threads and of streams at a time."""

    @property
    def sample_rate(self) -> int:
        """Of the speech, in Hz. Asks the server once; raises ServerUnavailableError."""
        return self._connection.describe().sample_rate

    def stream(
        self,
        text: Text,
        *,
        voice: str | None = None,
        reference: Reference | None = None,
        params: GenerationParams | None = None,
    ) -> "SpeechStream":
        """Send the request and return its stream of chunks.

        text: plain, a transcript such as "Anna: Hello.\\nBob: Hi.", or a conversation [{"role": …, "content": …}, …].
        voice: name of a voice profile on the server. reference: a recording to take the voice from instead; for several
        speakers `GenerationParams.speakers`.
        Raises InvalidRequestError, AudioFormatError and ServerUnavailableError here, any other HiggsError
        while iterating. Leaving the stream early ends the generation on the server.
        """
        request = prepare_request(self._connection, text, voice, reference, params)
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        exchange = self._connection.open(request, events.put)
        return SpeechStream(self, exchange, events, self._first_chunk_timeout, self._chunk_timeout)

    def synthesize(
        self,
        text: Text,
        *,
        voice: str | None = None,
        reference: Reference | None = None,
        params: GenerationParams | None = None,
    ) -> Speech:
        """The whole speech; takes and raises what `stream` does."""
        with self.stream(text, voice=voice, reference=reference, params=params) as stream:
            return Speech.from_chunks(list(stream), stream.started_at)

    def voices(self) -> list[VoiceProfile]:
        """Every voice profile of the server, by name, without audio and codes."""
        return list_voices(self._connection)

    def voice(self, name: str) -> VoiceProfile:
        """One voice profile, with its audio and its codes. Raises InvalidRequestError for an unknown one."""
        return show_voice(self._connection, name)

    def add_voice(
        self,
        name: str,
        reference: Reference | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        replace: bool = False,
    ) -> VoiceProfile:
        """Have the server keep a voice under a name, with its clip and words, and return it as kept.

        reference: the clip; without one, `metadata["description"]` says in words how the voice sounds. metadata: JSON;
        `language`, `gender` and `description` are read by the server. replace: an added voice of the name may go.
        Raises InvalidRequestError, AudioFormatError, and StateError when the server cannot keep it.
        """
        return add_voice(self._connection, name, reference, metadata, replace)

    def remove_voice(self, name: str) -> None:
        """Remove an added voice. Raises InvalidRequestError for one of the bundle's and for an unknown one."""
        remove_voice(self._connection, name)

    def close(self) -> None:
        """End every stream on the server, then disconnect. Blocks up to the drain timeout."""
        self._finalizer()

    def __exit__(self, *error: object) -> None:
        self.close()


class SpeechStream(Iterator[AudioChunk], AbstractContextManager["SpeechStream"]):
    """The chunks of one request, in order, as they arrive; the last one has a finish reason.

    A context manager: leaving it waits until the server has ended the generation. A stream that is merely
    dropped ends its generation too, without the wait.
    """

    def __init__(
        self,
        client: HiggsClient,
        exchange: Exchange,
        events: "queue.SimpleQueue[Event]",
        first_chunk_timeout: float,
        chunk_timeout: float,
    ) -> None:
        self._client = client  # a client that nobody else holds must live as long as its streams
        self._exchange = exchange
        self._events = events
        self._timeout = first_chunk_timeout
        self._chunk_timeout = chunk_timeout
        self._ended = False

    @property
    def request_id(self) -> str:
        """The id under which the server knows this request."""
        return self._exchange.request_id

    @property
    def started_at(self) -> float:
        """When the request was sent: seconds on the clock of time.monotonic()."""
        return self._exchange.started_at

    def __next__(self) -> AudioChunk:
        """Raises the HiggsError that ended the stream; StreamStalledError when the next chunk is overdue."""
        if self._ended:
            raise StopIteration
        try:
            event = self._events.get(timeout=self._timeout)
        except queue.Empty:
            self.cancel()
            event = stalled(self._timeout)
        if isinstance(event, AudioChunk):
            self._timeout = self._chunk_timeout
            return event
        self._ended = True
        if isinstance(event, HiggsError):
            raise event
        raise StopIteration

    def cancel(self) -> None:
        """Ask the server to finish now. The stream stays readable and soon ends as `cancelled`."""
        self._exchange.cancel()

    def close(self) -> None:
        """Cancel, and wait until the server has ended the generation (at most the drain timeout)."""
        self._exchange.cancel()
        self._exchange.wait()

    def __exit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        self._exchange.cancel()


def prepare_request(
    connection: Connection,
    text: Text,
    voice: str | None,
    reference: Reference | None,
    params: GenerationParams | None,
) -> Any:
    """The protobuf of a request, checked as far as a client can. Blocks: asks the server, decodes audio."""
    if not (text.strip() if isinstance(text, str) else text):
        raise InvalidRequestError("The text is empty; give at least one word.")
    info = connection.describe()
    return speech_request(
        text,
        voice=voice,
        reference_audio=load_reference(reference.audio, info.reference) if reference else None,
        reference_text=reference.text if reference else None,
        options=params.to_options() if params else None,
    )


def stalled(seconds: float) -> StreamStalledError:
    """The error for a stream that brought nothing for `seconds`."""
    return StreamStalledError(f"No audio came for {seconds:g} s; the server may be overloaded or its model dead.")
