"""The little HTTP of ElevenLabs that its clients need beside its sockets: voices, and speech for one voice."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.alignment import Aligned, aligned
from gateway.encoded_speech import EncodedSpeech
from gateway.encoding import LEAST_SPEED, MOST_SPEED, Output, elevenlabs_output
from gateway.errors import GatewayError, shortened
from gateway.services import services
from gateway.speech import Form, respond
from gateway.speech_request import SpeechRequest

VOICE_PATH = "/v1/text-to-speech/{voice_id}"
MOST_OF_NAME = 200
DEFAULT_FORMAT = "mp3_44100_128"
JSON_LINES = "application/x-ndjson"
router = APIRouter(tags=["elevenlabs"])
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_MEDIA_TYPES = [Output(name, 0).format.media_type for name in ("pcm", "mp3", "opus", "ulaw", "alaw")]
_AUDIO: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Audio in the output format.",
        "content": dict.fromkeys(_MEDIA_TYPES, _BYTES),
    }
}
_LINES: dict[int | str, dict[str, Any]] = {
    200: {"description": "Objects with `audio_base64`, the last one with `alignment`.", "content": {JSON_LINES: {}}}
}
VoiceId = Annotated[str, Path(max_length=MOST_OF_NAME, description="A voice, by any of its names.")]
Named = Annotated[str, Query(max_length=MOST_OF_NAME, description="FORMAT_RATE or FORMAT_RATE_KBPS.")]


class VoiceSettings(BaseModel):
    """Stability and its like are of ElevenLabs' own models."""

    speed: float | None = Field(None, ge=LEAST_SPEED, le=MOST_SPEED)


class Text(BaseModel):
    """What to say. ElevenLabs has more fields, about its own models."""

    text: str = Field(min_length=1)
    voice_settings: VoiceSettings | None = None
    language_code: str | None = Field(None, max_length=MOST_OF_NAME)
    seed: int | None = None


def output_of(name: str) -> Output:
    """What an `output_format` means. Raises GatewayError."""
    output = elevenlabs_output(name)
    if output is None:
        raise GatewayError(400, f"There is no output_format {shortened(name)!r}; pcm_24000 is one.", "output_format")
    return output


@router.get("/v1/voices")
async def list_voices(request: Request) -> dict[str, Any]:
    """All voices, as ElevenLabs lists them."""
    found = (await services(request).voices.voices()).values()
    return {
        "voices": [
            {
                "voice_id": voice.name,
                "name": voice.name,
                "category": "premade" if voice.origin == "bundle" else "cloned",
                "description": voice.metadata.get("description"),
                "labels": {key: str(voice.metadata[key]) for key in ("language", "gender") if voice.metadata.get(key)},
            }
            for voice in found
        ]
    }


@router.post(VOICE_PATH, response_class=Response, responses=_AUDIO)
@router.post(VOICE_PATH + "/stream", response_class=Response, responses=_AUDIO)
async def speak(voice_id: VoiceId, text: Text, request: Request, output_format: Named = DEFAULT_FORMAT) -> Response:
    """Speak a text; the first bytes leave with the first window of audio."""
    output = output_of(output_format)
    return await respond(_body(voice_id, text), Form(output, output.format.media_type), request, {})


@router.post(VOICE_PATH + "/stream/with-timestamps", response_class=Response, responses=_LINES)
async def speak_timed(
    voice_id: VoiceId, text: Text, request: Request, output_format: Named = DEFAULT_FORMAT
) -> Response:
    """The same as lines of JSON; the last one says when each character is spoken, as estimates within each part."""
    body = _body(voice_id, text)

    async def told(speech: EncodedSpeech, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for part in parts:
                yield _line(base64.b64encode(part).decode(), None)
        finally:
            await parts.aclose()  # type: ignore[attr-defined]
        yield _line("", _alignment(aligned(speech.chunk, body.speed)) if speech.chunk else None)

    return await respond(body, Form(output_of(output_format), JSON_LINES, told, _sound), request, {})


def _body(voice_id: str, text: Text) -> Any:
    settings = text.voice_settings or VoiceSettings(speed=None)
    options = {"language": text.language_code, "seed": text.seed}
    return SpeechRequest(input=text.text, voice=voice_id, speed=settings.speed or 1.0, **options)


def _sound(lines: bytes) -> bytes:
    """The audio in all of the lines."""
    return b"".join(base64.b64decode(json.loads(line)["audio_base64"]) for line in lines.splitlines())


def _line(audio: str, alignment: dict[str, Any] | None) -> bytes:
    told = {"audio_base64": audio, "alignment": alignment, "normalized_alignment": alignment}
    return json.dumps(told, ensure_ascii=False).encode() + b"\n"


def _alignment(told: Aligned) -> dict[str, Any]:
    """Its characters, and when each begins and ends, in seconds of the audio."""
    characters, starts, lasts = told.characters()
    return {
        "characters": characters,
        "character_start_times_seconds": [start / 1000 for start in starts],
        "character_end_times_seconds": [(start + last) / 1000 for start, last in zip(starts, lasts, strict=True)],
    }
