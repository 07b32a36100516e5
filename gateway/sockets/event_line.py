"""Wyoming's events over TCP: a line of JSON, then perhaps more JSON, then perhaps bytes.

The package `wyoming` knows what is in them; its reader would take any number of bytes, so the frames are read here.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

from wyoming.event import Event, async_write_event

from gateway.errors import GatewayError
from gateway.listener import Gone
from gateway.services import Services
from gateway.sockets.line import Line

MOST_OF_LINE = 65_536  # bytes


class EventLine(Line[Event]):
    """Events in, events out."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, house: Services, leaving: asyncio.Event
    ) -> None:
        super().__init__(house.settings.idle_timeout, leaving)
        self._reader, self._writer = reader, writer
        self._most, self._write_seconds = house.settings.max_message, house.settings.write_timeout

    async def send(self, event: Event) -> None:
        """Raises Gone, also when the client does not read what waits for it."""
        try:
            async with asyncio.timeout(self._write_seconds):
                await async_write_event(event, self._writer)
        except (OSError, TimeoutError) as error:
            self._writer.transport.abort()
            raise Gone from error
        self.is_active()

    async def _read(self) -> Event:
        try:
            line = await self._reader.readuntil(b"\n")
            head = json.loads(line)
            data = dict(head.get("data") or {})
            more, payload = (_length(head.get(name), self._most) for name in ("data_length", "payload_length"))
            if more:
                data = {**data, **json.loads(await self._reader.readexactly(more))}
            return Event(str(head["type"]), data, await self._reader.readexactly(payload) or None)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Gone from error
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError, asyncio.LimitOverrunError) as error:
            raise GatewayError(400, "That is no event of Wyoming.", code="invalid_event") from error

    async def _hang_up(self, error: GatewayError | None) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


def _length(told: Any, most: int) -> int:
    """Raises ValueError for what is no length, or too long."""
    if told is None:
        return 0
    if not isinstance(told, int) or not 0 <= told <= most:
        raise ValueError(told)
    return told
