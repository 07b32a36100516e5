"""The client for synchronous code."""

import queue
from collections.abc import AsyncIterable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TypeVar

from .base import BaseClient, BaseStream, Request
from .errors import InvalidRequestError
from .exchange import Event
from .protocol import Text, new_request_id
from .resume import ResumedExchange
from .session import Pieces, TakesText
from .speech import AudioChunk, Speech
from .voices import VoiceRequests

StreamT = TypeVar("StreamT", bound="SpeechStream")


class HiggsClient(
    BaseClient["SpeechStream", "SpeechSession", Speech], VoiceRequests, AbstractContextManager["HiggsClient"]
):
    """Speaks to one server. One client serves any number of threads and of streams at a time."""

    def bundle(self) -> str:
        """The server's bundle by a word that another bundle does not have. Raises ServerUnavailableError."""
        return self._fleet.describe(again=True).bundle

    @property
    def sample_rate(self) -> int:
        """Of the speech, in Hz. Asks the server once; raises ServerUnavailableError."""
        return self._fleet.describe().sample_rate

    def is_ready(self) -> bool:
        """Whether the server takes requests now; it has 2 s to say so."""
        return self._fleet.is_ready()

    def close(self) -> None:
        """End every stream on the server, then disconnect. Blocks up to the drain timeout."""
        self._finalizer()

    def __exit__(self, *error: object) -> None:
        self.close()

    def _open(self, make: Request, text: Text, deadline: float, metadata: Mapping[str, str] | None) -> "SpeechStream":
        return SpeechStream(self, *self._exchanged(make, text, deadline, metadata))

    def _open_session(self, make: Request, deadline: float, metadata: Mapping[str, str] | None) -> "SpeechSession":
        return SpeechSession(self, *self._exchanged(make, None, deadline, metadata))

    def _feed(self, session: "SpeechSession", pieces: Pieces) -> None:
        if isinstance(pieces, AsyncIterable):
            session.cancel()
            raise InvalidRequestError("Pieces that come asynchronously are for AsyncHiggsClient.")
        session._send_in_thread(pieces)

    def _exchanged(
        self, make: Request, text: Text | None, deadline: float, metadata: Mapping[str, str] | None
    ) -> "tuple[ResumedExchange, queue.SimpleQueue[Event]]":
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        request_id = new_request_id()
        request = make(request_id, text)
        return self._ask(request_id, request, deadline, events.put, metadata=metadata, growing=text is None), events

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

    def __enter__(self: StreamT) -> StreamT:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class SpeechSession(TakesText, SpeechStream):
    """A `SpeechStream` that takes its text while it speaks."""
