"""One request and its stream of responses, read to the very end whatever the caller does meanwhile.

gRPC's own cancellation would leave the ensemble with an inference that never ends, and the server could then
not stop cleanly. So a thread reads every stream to its end, and a caller who loses interest asks the LM to
finish early.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np

from .control import ControlStream
from .errors import HiggsError, ServerUnavailableError, StreamStalledError, error_from_server
from .protocol import CANCEL, WATCH, is_final, read_chunk
from .speech import AudioChunk

# A chunk of audio, the error that ended the stream, or None for its regular end.
Event = AudioChunk | HiggsError | None


class Exchange:
    """Sends the request when constructed and hands each event to `deliver`, on a thread of its own.

    Exactly one event that is not a chunk is delivered, and nothing after it.
    """

    def __init__(
        self,
        stub: Any,
        control: ControlStream,
        request: Any,
        deliver: Callable[[Event], None],
        *,
        sample_rate: int,
        address: str,
        drain_timeout: float,
        watch: bool,
    ) -> None:
        self.request_id: str = request.id
        self.started_at = time.monotonic()
        self._control = control
        self._deliver = deliver
        self._sample_rate = sample_rate
        self._address = address
        self._drain_timeout = drain_timeout
        self._position = 0  # samples received
        self._finish_reason: str | None = None
        self._cancelled = False
        self._ended = False  # the last event was delivered; gRPC's own end may still be on its way
        self._done = threading.Event()
        # Reentrant: the garbage collector may drop a stream, and so cancel it, on any thread at any point.
        self._lock = threading.RLock()
        self._call = stub.ModelStreamInfer(iter([request]))
        self._drain_deadline = threading.Timer(drain_timeout, self._call.cancel)
        self._drain_deadline.daemon = True
        control.open()
        if watch:
            control.send(WATCH, self.request_id)
        threading.Thread(target=self._read, name=f"higgs-{self.request_id[:8]}", daemon=True).start()

    def cancel(self) -> None:
        """Ask the server to finish early; returns at once. The stream ends within the drain timeout."""
        with self._lock:
            if self._cancelled or self._ended:
                return
            self._cancelled = True
            self._control.send(CANCEL, self.request_id)
            # At its exit the interpreter starts no threads; there the connection's close keeps the deadline.
            with contextlib.suppress(RuntimeError):
                self._drain_deadline.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until nothing of this exchange is left on the wire; False when that took too long."""
        return self._done.wait(seconds)

    def abort(self) -> None:
        """Cut the stream. The last resort: the server may keep a trace of the request for good."""
        self._call.cancel()

    def _read(self) -> None:
        try:
            for response in self._call:
                self._take(response)
            if not self._ended:
                self._end(ServerUnavailableError(f"The server at {self._address} closed the stream before its end."))
        except grpc.RpcError as error:
            if not self._ended:
                self._end(self._broken(error))
        finally:
            self._drain_deadline.cancel()
            self._done.set()

    def _take(self, response: Any) -> None:
        if self._ended:
            return
        if response.error_message:
            self.cancel()  # whatever of it still runs on the server, or waits there for it, has nobody to run for
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

    def _end(self, event: HiggsError | None) -> None:
        with self._lock:
            self._ended = True
        self._deliver(event)

    def _broken(self, error: Any) -> HiggsError:
        if error.code() == grpc.StatusCode.CANCELLED:
            return StreamStalledError(
                f"The server at {self._address} did not end the stream within {self._drain_timeout:g} s."
            )
        heard = f"after {self._position / self._sample_rate:.2f} s of audio" if self._position else "before any audio"
        return ServerUnavailableError(
            f"The connection to the server at {self._address} broke {heard}: {error.details()}."
        )
