"""A client's connection, which costs a descriptor and is closed when nothing comes of it."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

IDLE_SECONDS = 15.0  # for a request's head to be complete
LEAVING = "leaving"  # of a socket's scope, in its state: the event that the gateway stops
_LEAST_READ = 16384  # bytes in the time for reading


class _Reader(asyncio.Protocol):
    """A connection whose client must read what waits for it.

    write_timeout: seconds in which it must read something.
    """

    write_timeout: float
    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    _reading: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        _stop(self._reading)
        self._reading = None

    def connection_lost(self, exc: Exception | None) -> None:
        _stop(self._reading)
        super().connection_lost(exc)

    def _expect_reading(self) -> None:
        """Start the timer for something of an answer to be read."""
        unread = self.transport.get_write_buffer_size()
        self._reading = self.loop.call_later(self.write_timeout, self._look, unread)

    def _look(self, unread: int) -> None:
        if self.transport.get_write_buffer_size() > unread - _LEAST_READ:
            self.transport.abort()
        else:
            self._expect_reading()


class PunctualProtocol(_Reader, H11Protocol):
    """uvicorn's, with time limits that it lacks: for the head of a request, and for answers that are not read."""

    _head: asyncio.TimerHandle | None = None
    _is_upgraded = False  # to a WebSocket, which has another protocol

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._is_upgraded = True
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        _stop(self._head)
        super().connection_lost(exc)

    def _wait(self) -> None:
        """Start the timer for a request's head, or stop it while a request is answered."""
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if is_answering or self._is_upgraded:
            _stop(self._head)
            self._head = None
        elif self._head is None:
            self._head = self.loop.call_later(IDLE_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self._head = None
        if self._reading is not None:  # an answer of before is still being read
            self._wait()
        elif self.cycle is None or self.cycle.response_complete:
            self.transport.abort()


class PunctualSocket(_Reader, WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, whose client must read. When the gateway stops, the application is told, and closes it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.leaving = asyncio.Event()
        self.app_state = {**self.app_state, LEAVING: self.leaving}

    def shutdown(self) -> None:
        if self.handshake_complete and not self.close_sent:
            self.leaving.set()
        else:
            super().shutdown()


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
