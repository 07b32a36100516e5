"""A client's connection, which costs a descriptor and is closed when nothing comes of it."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

IDLE_SECONDS = 15.0  # for a request's head to be complete


class PunctualProtocol(H11Protocol):
    """uvicorn's, with a time limit for the head of a request; it has one between requests only until a byte comes."""

    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._limit is not None:
            self._limit.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        """Start the time, or stop it while a request is answered."""
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if is_answering and self._limit is not None:
            self._limit.cancel()
            self._limit = None
        elif not is_answering and self._limit is None:
            self._limit = self.loop.call_later(IDLE_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self._limit = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
