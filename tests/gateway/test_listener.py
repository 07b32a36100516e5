"""Bytes for a client that may go, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from gateway.listener import Listener, LiveResponse


def test_a_client_that_goes_while_nothing_comes_leaves_no_error() -> None:
    """What makes the parts ends before it is closed: a generator that still runs cannot be."""
    closed: list[str] = []

    async def parts() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)  # as one does that tells somebody
            closed.append("parts")

    async def answered() -> list[Any]:
        sent, gone = [], asyncio.Event()

        async def receive() -> dict[str, str]:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if message.get("body"):
                gone.set()

        response = LiveResponse(parts(), Listener(receive), "audio/pcm", {})
        await asyncio.wait_for(response({}, receive, send), 10)
        return sent

    sent = asyncio.run(answered())
    assert [message.get("body") for message in sent] == [None, b"first"]
    assert closed == ["parts"]
