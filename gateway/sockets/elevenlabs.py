"""ElevenLabs' sockets for one voice, as pipecat and LiveKit speak to them: `stream-input` and `multi-stream-input`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, WebSocket

from gateway.alignment import Aligned
from gateway.elevenlabs import VOICE_PATH, VoiceSettings
from gateway.errors import GatewayError
from gateway.meaning import Meant
from gateway.sockets.contexts import Context, Contexts
from gateway.sockets.live_speech import Asked

router = APIRouter()


@router.websocket(VOICE_PATH + "/stream-input")
async def stream_input(websocket: WebSocket) -> None:
    """One speech."""
    await TextToSpeech(websocket, has_many=False).run()


@router.websocket(VOICE_PATH + "/multi-stream-input")
async def multi_stream_input(websocket: WebSocket) -> None:
    """Any number of speeches, of which several may go on at a time."""
    await TextToSpeech(websocket, has_many=True).run()


class TextToSpeech(Contexts):
    """A text in pieces, an empty one to keep the connection or, where there is one context, to end it."""

    final, context_key = "isFinal", "contextId"

    async def take(self, name: str, message: dict[str, Any]) -> bool:
        text, flush = message.get("text"), message.get("flush") is True
        if not isinstance(text, str | None):
            raise GatewayError(400, "text is no text.", "text")
        context = self.contexts.get(name)
        if text == "" and not self.has_many:
            if context is not None and context.speech is not None:
                context.speech.end()
            return True
        if context is None or context.is_closed:
            if not text:  # it keeps the connection, and opens nothing
                return False
            context = self.open(Context(name, await self._asked(message)))
        if text:
            await self.say(context, text)
        if context.speech is not None and (flush or (self.query.auto_mode and _is_whole(text))):
            context.speech.flush()
        context.is_flushed |= flush
        return False

    async def _asked(self, message: dict[str, Any]) -> Asked:
        settings = self.told(VoiceSettings, message.get("voice_settings") or {})
        voice = await self.house.voices.resolve(self.websocket.path_params["voice_id"])
        return Asked(Meant(self.params(), voice, None, ""), self.output, settings.speed or 1.0)

    def aligned(self, told: Aligned | None) -> dict[str, Any]:
        alignment = None
        if told is not None:
            names = ("chars", "charStartTimesMs", "charDurationsMs")
            since = 0.0 if self.query.sync_alignment else None  # LiveKit's plug-in, which asks so, adds nothing up
            alignment = dict(zip(names, told.characters(since), strict=True))
        return {"alignment": alignment, "normalizedAlignment": alignment}


def _is_whole(text: str | None) -> bool:
    """Whether a piece seems to be a sentence or a phrase, as `auto_mode` promises, and not a word or less."""
    end = (text or "").rstrip()[-1:]
    return bool(end) and not end.isalnum()
