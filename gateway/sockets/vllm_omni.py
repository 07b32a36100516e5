"""vLLM-Omni's socket, `/v1/audio/speech/stream`, and the dialect of it that SGLang-Omni speaks.

The first message says how to speak, with the fields of `POST /v1/audio/speech`; then text comes in pieces, utterance
after utterance. SGLang-Omni nests the first message's fields in `session`, and its connection ends with an utterance.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from fastapi import APIRouter, WebSocket
from higgs_tts import HiggsError
from pydantic import BaseModel, ValidationError

from gateway.encoding import FormatName, Output
from gateway.errors import GatewayError, as_refusal, refusal_of, shortened
from gateway.meaning import meant_by
from gateway.models import check_model
from gateway.sockets.conversation import WebSocketConversation
from gateway.sockets.live_speech import Asked, LiveSpeech
from gateway.sockets.utterance import Utterance, done
from gateway.speech_request import SpeechRequest, ignored_fields, output_rate
from gateway.store import wants

router = APIRouter()


class _StreamFields(BaseModel):
    """What is said of a connection. stream_audio: whether bytes leave as they are made, not sentence by sentence."""

    input: str = ""
    response_format: FormatName = "wav"
    stream_audio: bool = False
    split_granularity: Literal["none", "sentence", "clause"] = "none"
    word_timestamps: bool = False


class SessionConfig(_StreamFields, SpeechRequest):
    """The first message: the fields of a speech, and of the connection."""


@router.websocket("/v1/audio/speech/stream")
async def speech_stream(websocket: WebSocket) -> None:
    """Utterances in turn."""
    await SpeechStream(websocket).run()


class SpeechStream(WebSocketConversation):
    """The client may send an utterance while the one before is spoken; they are heard in turn."""

    _config: Any
    _asked: Asked
    _is_nested = False

    def __init__(self, websocket: WebSocket) -> None:
        super().__init__(websocket)
        self._speech: LiveSpeech | None = None  # whose text is coming
        self._before: asyncio.Task[None] | None = None  # what must be heard first
        self._utterances = 0

    async def _converse(self) -> None:
        message = await self.first()
        if message.get("type") != "session.config":
            raise GatewayError(400, f"The first message is session.config, not {_type(message)}.", "type")
        await self._configure(message)
        while not await self._is_last(message := await self.line.receive() or {}):
            pass
        await self.until_spoken()

    async def _is_last(self, message: dict[str, Any]) -> bool:
        """Take a message; returns whether it was the last. What is wrong with it is told, and the connection stays."""
        try:
            return await self._take(message)
        except (GatewayError, HiggsError) as error:
            await self._tell(as_refusal(error))
        return False

    async def _take(self, message: dict[str, Any]) -> bool:
        match message.get("type"):
            case "session.config" if self._speech is not None:
                raise GatewayError(400, "An utterance is in progress; send input.done first.", "type")
            case "session.config":
                await self._configure(message)
            case "input.text":
                await self._say(message.get("text"))
            case "input.done":
                await self._finish()
                return self._is_nested
            case "input.cancel":
                self._speech = None
                for speech in self.speeches:
                    speech.interrupt()
            case "session.close":
                return True
            case _:
                raise GatewayError(400, f"There is no message {_type(message)}.", "type")
        return False

    async def _configure(self, message: dict[str, Any]) -> None:
        nested = message.get("session")
        self._is_nested = isinstance(nested, dict)
        values = nested if isinstance(nested, dict) else {key: value for key, value in message.items() if key != "type"}
        try:
            config = SessionConfig.model_validate(values)
        except ValidationError as error:
            fault = error.errors()[0]
            raise refusal_of(fault, fault["loc"]) from None
        check_model(config.model)
        ignored = ignored_fields(config)
        output = Output(config.response_format, output_rate(config, await self.house.client.sample_rate()))
        if config.word_timestamps and not (config.stream_audio and output.name == "pcm"):
            raise GatewayError(400, "word_timestamps needs stream_audio and pcm.", "word_timestamps")
        by_part = config.split_granularity != "none"
        wants(self.house.store, config.store)
        meant = await meant_by(config, self.house)
        self._asked = Asked(meant, output, config.speed, by_part, config.store, config.session_id)
        self._config = config
        told = {name: getattr(config, name) for name in ("response_format", "stream_audio", "split_granularity")}
        about = {"session_id": self.request_id, "ignored_fields": ignored}
        await self.line.send({"type": "session.configured", **about, **told})

    async def _say(self, text: Any) -> None:
        if not isinstance(text, str):
            raise GatewayError(400, "input.text needs a text.", "text")
        if self._speech is None:
            if not text.strip():
                return
            self._speech = await self.speech(self._asked)
            config, output = self._config, self._asked.output
            how = (self._asked.file_per_part, config.stream_audio, config.word_timestamps)
            utterance = Utterance(self.line, self._utterances, self._speech, output, *how)
            self._before = self.begin(utterance.speak(self._before), self._speech)
            self._utterances += 1
        self._speech.send(text)

    async def _finish(self) -> None:
        speech, self._speech = self._speech, None
        if speech is not None:
            speech.end()
        else:  # an utterance of nothing
            self.check_room()
            self._before = self.begin(self._say_done(self._utterances, self._before))
            self._utterances += 1

    async def _say_done(self, utterance: int, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        await self.line.send(done(utterance, 0, self.request_id))

    async def _tell(self, error: GatewayError) -> None:
        about = {"code": error.code, "param": error.param}
        await self.line.send({"type": "error", "message": str(error), **about})


def _type(message: dict[str, Any]) -> str:
    return shortened(repr(message.get("type")))
