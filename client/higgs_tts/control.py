"""Messages to the LM about generations that run elsewhere: cancel this one, watch over that one.

They share one gRPC stream per client, apart from the streams that carry speech, so that an answer to a
message is never taken for an answer to a generation. If a server refuses a message, nothing else happens: speech
goes on without it.
"""

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from .protocol import control_request

logger = logging.getLogger(__name__)


class ControlStream:
    """Opens when needed, and again after a break. Safe to use from any thread."""

    def __init__(self, connect: Callable[[Iterator[Any]], Any]) -> None:
        """connect: sends the requests it is given and iterates over the server's answers."""
        self._connect = connect
        # Reentrant: the garbage collector may drop a stream, and so cancel it, while a message is being sent.
        self._lock = threading.RLock()
        self._outbox: queue.SimpleQueue[Any] | None = None
        self._call: Any = None
        self._reader: threading.Thread | None = None

    def open(self) -> "queue.SimpleQueue[Any]":
        """Connect now rather than with the first message: at its exit the interpreter starts no more threads.

        Returns the queue of messages to send.
        """
        with self._lock:
            if self._outbox is None:
                self._outbox = queue.SimpleQueue()
                self._call = self._connect(iter(self._outbox.get, None))
                self._reader = threading.Thread(
                    target=self._read, args=(self._call, self._outbox), name="higgs-control", daemon=True
                )
                self._reader.start()
            return self._outbox

    def send(self, word: str, request_id: str) -> None:
        """Returns at once; delivery is not awaited and a refusal is only logged."""
        self.open().put(control_request(request_id, word))

    def close(self, patience: float) -> None:
        """Wait up to `patience` seconds for the answers to what was sent, then end the stream.

        Only for when no generation is under way: a watch that ends early ends its generation.
        """
        with self._lock:
            outbox, call, reader = self._outbox, self._call, self._reader
        if outbox is not None and reader is not None:
            outbox.put(None)
            reader.join(patience)
            call.cancel()
            reader.join(patience)

    def _read(self, call: Any, outbox: "queue.SimpleQueue[Any]") -> None:
        try:
            for response in call:
                if response.error_message:
                    logger.debug("The server refused a control message: %s", response.error_message)
        except grpc.RpcError as error:
            logger.debug("The control stream ended: %s", error)
        with self._lock:
            if self._outbox is outbox:
                self._outbox = None
        # gRPC's sending thread waits on the queue until a None arrives; without it, it would outlive the stream.
        outbox.put(None)
