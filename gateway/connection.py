"""A client's connection, which costs a descriptor and is closed when nothing comes of it."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

IDLE_SECONDS = 15.0  # for a request's head to be complete, and for the end of an answer to be read


class PunctualProtocol(H11Protocol):
    """uvicorn's, with time limits: for the head of a request, where uvicorn has one until a byte comes, and for
    answers that nobody reads, where it has none.

    write_timeout: seconds in which a client must read what is too much to wait.
    """

    write_timeout: float
    _head: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self.write_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        _stop(self._unread)

    def connection_lost(self, exc: Exception | None) -> None:
        _stop(self._head)
        _stop(self._unread)
        super().connection_lost(exc)

    def _wait(self) -> None:
        """Start the time for a head, or stop it while a request is answered."""
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if is_answering:
            _stop(self._head)
            self._head = None
        elif self._head is None:
            self._head = self.loop.call_later(IDLE_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self._head = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
