"""What all protocols share: messages are taken in turn, speeches go on beside them, and all ends together."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, Generic, TypeVar

from higgs_tts import HiggsError
from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.errors import GatewayError, as_refusal
from gateway.keys import Caller
from gateway.listener import Gone
from gateway.services import Services
from gateway.sockets.line import RESTARTING, Line, WebSocketLine
from gateway.sockets.live_speech import Asked, LiveSpeech

logger = logging.getLogger(__name__)

FIRST_SECONDS = 10.0  # in which a client must say what it wants
MAX_SPEECHES = 16  # of one connection at a time
LineT = TypeVar("LineT", bound=Line[Any])


class Conversation(ABC, Generic[LineT]):
    """One connection. caller: who is at its other end. route: its name in the log. request_id: of it, too."""

    def __init__(self, line: LineT, house: Services, caller: Caller, route: str, request_id: str) -> None:
        self.line, self.house, self.caller, self.route, self.request_id = line, house, caller, route, request_id
        self._speeches: dict[asyncio.Task[None], LiveSpeech | None] = {}
        self._begun = 0
        line.is_awaited = lambda: any(speech.is_awaited for speech in self.speeches)

    async def run(self) -> None:
        """Until either end has enough; nothing of it goes on afterwards."""
        ending: GatewayError | None = None
        try:
            try:
                await self._converse()
            except (GatewayError, HiggsError) as error:
                ending = as_refusal(error)
                if ending.code == RESTARTING:
                    await self._speak_out()
            except Gone:
                raise
            except Exception:
                logger.exception("A conversation failed.")
                ending = GatewayError(500, "The gateway failed; its log says why.")
            if ending is not None:
                await self._tell(ending)
        except Gone:
            pass
        finally:
            for task in self._speeches:
                task.cancel()
            if self._speeches:
                await asyncio.wait([*self._speeches])
            await self.line.close(ending)

    @property
    def speeches(self) -> list[LiveSpeech]:
        """Those that are going on."""
        return [speech for speech in self._speeches.values() if speech is not None]

    async def speech(self, asked: Asked) -> LiveSpeech:
        """A new one, for which `begin` is to be called next. Raises GatewayError when it may not be, HiggsError."""
        assert self.caller.key is not None
        source_rate = await self.house.client.sample_rate()
        self.check_room()
        asked = replace(asked, session=asked.session or self.request_id)
        self._begun += 1
        request_id = f"{self.request_id}-{self._begun}"
        return LiveSpeech(self.house, self.caller.key, asked, source_rate, request_id, self.route)

    def check_room(self) -> None:
        """Raises GatewayError when as much goes on as may."""
        if len(self._speeches) >= MAX_SPEECHES:
            raise GatewayError(429, f"{MAX_SPEECHES} speeches are going on here already.", code="too_many_speeches")

    def begin(self, work: Coroutine[Any, Any, None], speech: LiveSpeech | None = None) -> asyncio.Task[None]:
        """Let work, with a speech perhaps, go on beside the messages; the speech is closed at its end."""
        task = asyncio.ensure_future(work)
        self._speeches[task] = speech
        task.add_done_callback(self._ended)
        return task

    async def until_spoken(self) -> None:
        """Wait for all that is being spoken; what comes meanwhile is of no interest. Raises Gone."""
        while self._speeches:
            await self.line.receive(unless=[*self._speeches])

    async def _speak_out(self) -> None:
        """No more text is taken; what is there is spoken."""
        for speech in self.speeches:
            if not speech.is_ended:
                speech.end()
        await self.until_spoken()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if (speech := self._speeches.pop(task)) is not None:
            speech.close()
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, Gone):
            logger.error("A speech failed.", exc_info=error)

    @abstractmethod
    async def _converse(self) -> None:
        """Take messages until the client wants no more. Raises Gone, GatewayError, HiggsError."""

    @abstractmethod
    async def _tell(self, error: GatewayError) -> None:
        """Send the error that ends the connection. Raises Gone."""


class WebSocketConversation(Conversation[WebSocketLine]):
    """One WebSocket; to be made and run by its route."""

    def __init__(self, websocket: WebSocket) -> None:
        state, house = websocket.scope["state"], websocket.app.state.services
        line = WebSocketLine(websocket, house.settings.idle_timeout)
        route = websocket.scope["route"].path
        super().__init__(line, house, state["caller"], route, state["spoken"].request_id)
        self.websocket = websocket

    async def run(self) -> None:
        try:
            await self.websocket.accept()
        except WebSocketDisconnect:
            await self.line.close()
            return
        await super().run()

    async def first(self) -> dict[str, Any]:
        """The first message, for which there is less time. Raises as `Line.receive`."""
        idle_seconds, self.line.idle_seconds = self.line.idle_seconds, min(self.line.idle_seconds, FIRST_SECONDS)
        message = await self.line.receive()
        self.line.idle_seconds = idle_seconds
        assert message is not None
        return message
