"""The other end of a request: whether it is still there, and bytes for it as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import TypeVar

from starlette.background import BackgroundTask
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

T = TypeVar("T")


class Gone(Exception):
    """The client closed its connection, or it was closed because nothing was read any more."""


class Listener:
    """Notices, while something else is awaited, that the client has gone. receive: ASGI's, once the body was read."""

    def __init__(self, receive: Receive) -> None:
        self._gone = asyncio.ensure_future(_until_gone(receive))

    async def unless_gone(self, work: Awaitable[T]) -> T:
        """The work's result. Raises Gone, and cancels the work, when the client goes."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self._gone}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})  # a generator cannot be closed while it still runs
        raise Gone

    def close(self) -> None:
        """Stop looking."""
        self._gone.cancel()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class LiveResponse(Response):
    """Bytes sent as they are made; whatever happens, `parts` is closed at the end.

    An exception out of `parts` breaks the connection, so that the client sees that the answer is not whole.
    background: awaited when all was sent.
    """

    def __init__(
        self,
        parts: AsyncIterator[bytes],
        listener: Listener,
        media_type: str,
        headers: Mapping[str, str],
        background: BackgroundTask | None = None,
    ) -> None:
        self.status_code, self.media_type, self.background = 200, media_type, background
        self._parts, self._listener = parts, listener
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while (part := await self._listener.unless_gone(anext(self._parts, None))) is not None:
                message = {"type": "http.response.body", "body": part, "more_body": True}
                await self._listener.unless_gone(send(message))
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (Gone, OSError):
            return
        finally:
            self._listener.close()
            await self._parts.aclose()  # type: ignore[attr-defined]
        if self.background is not None:
            await self.background()
