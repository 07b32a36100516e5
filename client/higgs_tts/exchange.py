"""One request and its stream of responses, read to the very end whatever the caller does in the meantime.

gRPC's own cancellation would leave the ensemble with an inference that never ends, and the server could then
not stop cleanly. So a thread reads every stream to its end, and a caller who no longer wants it asks the LM to
finish early.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Literal

import grpc
import numpy as np

from .errors import HiggsError, ServerUnavailableError, StreamStalledError, error_from_grpc, error_from_server
from .protocol import CANCEL, WATCH, control_request, is_final, is_of_speech, read_chunk
from .speech import AudioChunk

if TYPE_CHECKING:
    from .connection import Connection

# The request is asked again after a break (`resume.py`), and nothing new came yet.
REPLAYING: Final = "replaying"
# A chunk of audio, the error that ended the stream, or None for a normal end.
Event = AudioChunk | Exception | Literal["replaying"] | None
Message = tuple[str, str | None]  # about a text: a word of the protocol, and a piece


class Exchange:
    """Sends a request and passes each event to `deliver`, on a separate thread.

    It delivers exactly one event that is not a chunk, and nothing after it. A request is sent at once; a function that
    makes one runs on the thread, and what it raises is delivered. messages: about the text of a request for one that
    grows, each a word and perhaps a text, sent behind it; `send` adds more. None for a request with all of its text.
    """

    def __init__(
        self,
        connection: Connection,
        request_id: str,
        request: Any | Callable[[], Any],
        deliver: Callable[[Event], None],
        metadata: Mapping[str, str] | None = None,
        messages: Sequence[Message] | None = None,
    ) -> None:
        self.request_id = request_id
        self._outbox: SimpleQueue[Any] = SimpleQueue()  # what follows the request, until a None
        for message in messages or ():
            self.send(*message)
        if messages is None:
            self._outbox.put(None)
        self.started_at = time.monotonic()  # when the request was sent or, until then, when the caller asked for it
        self._connection, self._metadata, self.link = connection, metadata, connection.link
        self._address = connection.address
        self._deliver = deliver
        self._position = 0  # samples received
        self._finish_reason: str | None = None
        self._cancelled = False
        self._ended = False  # the last event was delivered; gRPC's own end may still be on its way
        self._done = threading.Event()
        # Reentrant: the garbage collector may drop a stream, and so cancel it, on any thread at any point.
        self._lock = threading.RLock()
        self._call: Any = None
        self._drain_deadline = threading.Timer(connection.drain_timeout, self.abort)
        self._drain_deadline.daemon = True
        self.link.control.open()
        make = request if callable(request) else None
        if make is None:
            self._send(request)
        threading.Thread(target=self._run, args=(make,), name=f"higgs-{request_id[:8]}", daemon=True).start()

    def cancel(self) -> None:
        """Ask the server to finish early; returns at once. The stream ends within the drain timeout."""
        with self._lock:
            if self._cancelled or self._ended:
                return
            self._cancelled = True
            if self._call is not None:
                self._send_cancel()

    def send(self, word: str, text: str | None = None) -> None:
        """Send a message about the text."""
        self._outbox.put(control_request(self.request_id, word, text))

    @property
    def is_done(self) -> bool:
        """Whether nothing of this exchange is left on the wire."""
        return self._done.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until nothing of this exchange is left on the wire; False when that took too long."""
        return self._done.wait(seconds)

    def abort(self) -> None:
        """Cut the stream. A last resort: the server may keep a trace of the request for good."""
        if self._call is not None:
            self._call.cancel()

    def _send(self, request: Any) -> None:
        with self._lock:
            if self._cancelled:
                return
            self.started_at = time.monotonic()
            self.link = self._connection.link  # another one if the request had to wait
            requests = chain([request], iter(self._outbox.get, None))
            self._call = self._connection.stream(self.link, requests, self._metadata)
            if self._connection.watch:
                self.link.control.send(WATCH, self.request_id)
            if self._cancelled:  # by the garbage collector, just now
                self._send_cancel()

    def _send_cancel(self) -> None:
        self.link.control.send(CANCEL, self.request_id)
        # At exit the interpreter starts no threads; then the connection's close enforces the deadline.
        with contextlib.suppress(RuntimeError):
            self._drain_deadline.start()

    def _run(self, make: Callable[[], Any] | None) -> None:
        try:
            if make is not None:
                self._send(make())
            if self._call is None:  # cancelled before it was sent
                self._finish()
            else:
                self._read()
        except grpc.RpcError as error:
            if not self._ended:
                self._end(self._broken(error))
        except Exception as error:  # goes to the caller, who would not see it on this thread
            self.cancel()
            if not self._ended:
                self._end(error)
        finally:
            self._outbox.put(None)
            self._drain_deadline.cancel()
            self._done.set()

    def _read(self) -> None:
        for response in self._call:
            self._take(response)
        if not self._ended:
            self._end(ServerUnavailableError(f"The server at {self._address} closed the stream before its end."))

    def _take(self, response: Any) -> None:
        if self._ended or not is_of_speech(response):
            return
        if response.error_message:
            self.cancel()  # nobody wants what the server still runs or queues for this request
            self._end(error_from_server(response.error_message, self._address))
            return
        try:
            chunk = read_chunk(response, self._sample_rate)
            if chunk is not None:
                self._take_chunk(chunk)
        except ValueError as error:
            self.cancel()
            self._end(HiggsError(f"The server at {self._address} broke the stream's contract: {error}"))
            return
        if is_final(response):
            self._finish()

    def _take_chunk(self, chunk: AudioChunk) -> None:
        if chunk.start_sample != self._position:
            raise ValueError(f"audio continues at sample {chunk.start_sample} instead of {self._position}")
        self._position += len(chunk.samples)
        self._finish_reason = chunk.finish_reason
        self._deliver(chunk)

    def _finish(self) -> None:
        if self._finish_reason is None and self._cancelled:
            # A cancelled ensemble may end without a last chunk of its own.
            empty = np.zeros(0, np.float32)
            self._deliver(AudioChunk(empty, self._position, self._sample_rate, "cancelled", time.monotonic()))
        elif self._finish_reason is None:
            self._end(HiggsError(f"The server at {self._address} ended the stream without a finish reason."))
            return
        self._end(None)

    def _end(self, event: Exception | None) -> None:
        self._outbox.put(None)
        with self._lock:
            self._ended = True
        if isinstance(event, HiggsError) and event.request_id is None and self._call is not None:
            event.request_id = self.request_id
        self._deliver(event)

    def _broken(self, error: Any) -> HiggsError:
        status, drain_timeout = error.code(), self._connection.drain_timeout
        if status == grpc.StatusCode.CANCELLED:
            return StreamStalledError(
                f"The server at {self._address} did not end the stream within {drain_timeout:g} s."
            )
        if status in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            return error_from_grpc(error, self._address, drain_timeout)
        heard = f"after {self._position / self._sample_rate:.2f} s of audio" if self._position else "before any audio"
        return ServerUnavailableError(
            f"The connection to the server at {self._address} broke {heard}: {error.details()}."
        )

    @property
    def _sample_rate(self) -> int:
        return self._connection.describe().sample_rate
