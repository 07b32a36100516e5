"""The connection to a client that speaks and listens at once: messages in turn, with an end to every silence."""

from __future__ import annotations

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import Any, Generic, TypeVar

from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.connection import LEAVING
from gateway.errors import GatewayError
from gateway.listener import Gone

MessageT = TypeVar("MessageT")
IDLE, RESTARTING = "input_timeout_exceeded", "restarting"  # codes of errors that end a connection
# Of WebSockets, by the status that an error would have over HTTP; any other one is against the protocol's policy.
_CLOSE_CODES = {429: 1013, 500: 1011, 503: 1013, 504: 1011}
_RESTART = 1012
_MAX_REASON = 123  # bytes of a close frame


class Line(ABC, Generic[MessageT]):
    """idle_seconds: how long nothing may come or go, unless the client waits for us. leaving: set when the gateway
    stops."""

    def __init__(self, idle_seconds: float, leaving: asyncio.Event) -> None:
        self.idle_seconds = idle_seconds
        self.is_awaited: Callable[[], bool] = lambda: False  # whether the client waits for us
        self._active_at = time.monotonic()
        self._next: asyncio.Future[MessageT] | None = None
        self._leaving = asyncio.ensure_future(leaving.wait())

    async def receive(self, unless: Collection[asyncio.Future[Any]] = ()) -> MessageT | None:
        """The next message; None as soon as one of `unless` is done.

        Raises Gone when the client has gone, GatewayError for what is no message, for a silence that was too long, and,
        where nothing is waited for, when the gateway stops.
        """
        if self._next is None:
            self._next = asyncio.ensure_future(self._read())
        while not self._next.done():
            if any(one.done() for one in unless):
                return None
            if self._leaving.done() and not unless:
                raise GatewayError(503, "The gateway is being restarted; connect again.", code=RESTARTING)
            left = self._active_at + self.idle_seconds - time.monotonic()
            if self.is_awaited():
                left = self.idle_seconds
            if left <= 0:
                raise GatewayError(408, f"Nothing was sent for {self.idle_seconds:g} s.", code=IDLE)
            waited: set[asyncio.Future[Any]] = {self._next, *unless} | (set() if unless else {self._leaving})
            await asyncio.wait(waited, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        told, self._next = self._next, None
        message = told.result()
        self.is_active()
        return message

    def is_active(self) -> None:
        """Something came or went."""
        self._active_at = time.monotonic()

    async def close(self, error: GatewayError | None = None) -> None:
        """Hang up. error: why, where it is no ordinary end."""
        self._leaving.cancel()
        if self._next is not None:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)
        await self._hang_up(error)

    @abstractmethod
    async def _read(self) -> MessageT:
        """The next message. Raises Gone, GatewayError."""

    @abstractmethod
    async def _hang_up(self, error: GatewayError | None) -> None: ...


class WebSocketLine(Line[dict[str, Any]]):
    """JSON objects in, JSON objects and bytes out. Accepts the connection with the first message."""

    def __init__(self, websocket: WebSocket, idle_seconds: float) -> None:
        super().__init__(idle_seconds, websocket.scope["state"].get(LEAVING) or asyncio.Event())
        self._websocket = websocket

    async def send(self, message: dict[str, Any] | bytes) -> None:
        """Waits while the client does not read. Raises Gone."""
        try:
            if isinstance(message, bytes):
                await self._websocket.send_bytes(message)
            else:
                await self._websocket.send_text(json.dumps(message, ensure_ascii=False))
        except (WebSocketDisconnect, RuntimeError) as error:  # it was closed, by whomever
            raise Gone from error
        self.is_active()

    async def _read(self) -> dict[str, Any]:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise Gone
        text = message.get("text")
        if text is None:
            raise GatewayError(400, "A message of bytes came; send JSON as text.", code="invalid_message")
        try:
            values = json.loads(text)
            if "\\u" in text:  # perhaps half of a character, which can neither be spoken nor repeated
                json.dumps(values, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise GatewayError(400, "The message is not JSON.", code="invalid_message") from error
        if not isinstance(values, dict):
            raise GatewayError(400, "The message is not a JSON object.", code="invalid_message")
        return values

    async def _hang_up(self, error: GatewayError | None) -> None:
        reason = str(error).encode()[:_MAX_REASON].decode(errors="ignore") if error else ""
        try:
            await self._websocket.close(close_code(error), reason)
        except (WebSocketDisconnect, RuntimeError):
            return


def close_code(error: GatewayError | None) -> int:
    """With which code a WebSocket is closed for that."""
    if error is None:
        return 1000
    return _RESTART if error.code == RESTARTING else _CLOSE_CODES.get(error.status, 1008)
