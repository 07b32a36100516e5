"""Control requests: a client cancels its stream, or opens a watch that reveals when the client has gone away.

Cancelling an ensemble request never reaches the models inside it, so clients send control requests to this model
directly, under the request id of the stream. `cancel` ends the stream. `watch` stays open until the stream ends; when
its client vanishes, Triton marks the watch as cancelled, and we end the stream.

The id is the owner's secret: a long random one, which no message, metric or other client ever learns. A stream with a
shorter id can be controlled by nobody, and control requests under one are answered as if there were no stream.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runtime.formats.errors import InvalidRequestError, quoted
from runtime.triton import tensors

_LOOK_SECONDS = 0.01  # Triton has no callback for a vanished client; only asking tells
_EARLY_SECONDS = 60.0  # how long a control request may be ahead of its stream
_REMEMBERED = 4096


@dataclass(frozen=True)
class _Watch:
    sender: Any
    since: float


class Controls:
    """Matches control requests with streams; either may arrive first.

    Args:
        most_watches: how many may be open without a stream; each is polled.
        given_up: called with the id of a request that was cancelled before it became a stream.
    """

    def __init__(self, most_watches: int, given_up: Callable[[str], None] = lambda request_id: None) -> None:
        self._most_watches, self._given_up = most_watches, given_up
        self._watches: dict[str, _Watch] = {}
        self._live: dict[str, Callable[[], None]] = {}
        self._ended = _Recent()
        self._cancelled_early = _Recent()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._look, name="watches", daemon=True)
        self._thread.start()

    def stream_begins(self, request_id: str, cancel: Callable[[], None]) -> bool:
        """Register a stream and the function that cancels it; False when it was cancelled before it arrived.

        Raises InvalidRequestError for an id in use.
        """
        with self._changed:
            if request_id in self._live:
                raise InvalidRequestError(f"a request with the id {quoted(request_id)} is already being served")
            self._ended.forget(request_id)
            if self._cancelled_early.forget(request_id):
                return False
            self._live[request_id] = cancel
            return True

    def stream_ended(self, request_id: str) -> None:
        """Release the stream's watch."""
        with self._changed:
            self._live.pop(request_id, None)
            self._ended.add(request_id)
            watch = self._watches.pop(request_id, None)
        if watch is not None:
            tensors.send(watch.sender)

    def cancel(self, request_id: str, sender: Any) -> None:
        """End a stream, now or when it arrives; release the watch of a stream that is not here."""
        watch = None
        with self._changed:
            cancel_stream = self._live.get(request_id)
            if cancel_stream is None:
                watch = self._watches.pop(request_id, None)
                if request_id not in self._ended:
                    self._cancelled_early.add(request_id)
                    self._given_up(request_id)
        if cancel_stream is not None:
            cancel_stream()
        for answered in filter(None, (sender, watch.sender if watch else None)):
            tensors.send(answered)

    def watch(self, request_id: str, sender: Any) -> None:
        """Hold a watch open; release a second watch over the same stream at once.

        Where too many are open, the oldest whose stream never came is released for it.
        """
        released: Any = sender
        with self._changed:
            if request_id not in self._ended and request_id not in self._watches:
                released = self._displaced() if len(self._watches) >= self._most_watches else None
                self._watches[request_id] = _Watch(sender, time.monotonic())
                self._changed.notify()
        if released is not None:
            tensors.send(released)

    def _displaced(self) -> Any:
        """The sender of the oldest watch without a stream, which is a watch no more; None if all have one."""
        idle = next((request_id for request_id in self._watches if request_id not in self._live), None)
        return self._watches.pop(idle).sender if idle is not None else None

    def close(self) -> None:
        """Stop polling and release every watch."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        for request_id in list(self._watches):
            self.stream_ended(request_id)

    def _look(self) -> None:
        while True:
            with self._changed:
                while not self._watches and not self._closing:
                    self._changed.wait()
                self._changed.wait(_LOOK_SECONDS)
                if self._closing:
                    return
                watches = list(self._watches.items())
            for request_id, watch in watches:
                self._look_at(request_id, watch)

    def _look_at(self, request_id: str, watch: _Watch) -> None:
        with self._changed:
            # Polling a watch that has been answered crashes Triton; while we hold the lock it is still registered.
            if self._watches.get(request_id) is not watch:
                return
            gone, cancel_stream = watch.sender.is_cancelled(), self._live.get(request_id)
            if not gone and (cancel_stream or time.monotonic() - watch.since < _EARLY_SECONDS):
                return
            if gone and cancel_stream is None:
                self._cancelled_early.add(request_id)
                self._given_up(request_id)
        if cancel_stream is not None:
            cancel_stream()
        with self._changed:
            if self._watches.get(request_id) is not watch:
                return
            del self._watches[request_id]
        tensors.send(watch.sender)


class _Recent:
    """Ids of the last minute, limited in number."""

    def __init__(self) -> None:
        self._since: OrderedDict[str, float] = OrderedDict()

    def add(self, request_id: str) -> None:
        self._since[request_id] = time.monotonic()
        self._since.move_to_end(request_id)
        while len(self._since) > _REMEMBERED:
            self._since.popitem(last=False)

    def forget(self, request_id: str) -> bool:
        """Drop an id; returns whether it was here."""
        known = request_id in self
        self._since.pop(request_id, None)
        return known

    def __contains__(self, request_id: object) -> bool:
        since = self._since.get(str(request_id))
        return since is not None and time.monotonic() - since < _EARLY_SECONDS
