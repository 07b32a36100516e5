"""`POST /v1/audio/speech`."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from higgs_tts import AsyncSpeechStream, AudioChunk, HiggsError, Reference

from gateway import errors
from gateway.clips import reference_of
from gateway.encoding import Encoder
from gateway.errors import GatewayError
from gateway.listener import Gone, Listener, LiveResponse
from gateway.metrics import Spoken
from gateway.models import check_model
from gateway.services import Services, services
from gateway.speech_request import SpeechRequest, generation_params, ignored_fields, output_rate

router = APIRouter(tags=["speech"])
SSE = "text/event-stream"


@router.post(
    "/v1/audio/speech",
    response_class=Response,
    responses={200: {"description": "Audio in the format asked for, or server-sent events that carry it."}},
)
async def speak(body: SpeechRequest, request: Request) -> Response:
    """Speak a text. The first bytes leave with the first window of audio."""
    house = services(request)
    check_model(body.model)
    if len(body.input) > house.settings.max_characters:
        raise GatewayError(
            400, f"input has {len(body.input)} characters; at most {house.settings.max_characters} are spoken.", "input"
        )
    headers = {"x-ignored-fields": ", ".join(ignored)} if (ignored := ignored_fields(body)) else {}
    stream, encoder = await _begin(body, request, house)
    speech = Speech(stream, encoder, request.state.spoken)
    listener = Listener(request.receive)
    try:
        first = await listener.unless_gone(speech.first_part())
    except Gone:
        speech.end("gone")
        return Response(status_code=499)  # nobody reads it
    except HiggsError:
        listener.close()
        raise
    headers |= speech.headers()
    if body.stream_format == "sse":
        parts, media_type = events(speech, first), SSE
        headers["cache-control"] = "no-cache"
    elif body.stream:
        parts, media_type = speech.parts(first), encoder.media_type
    else:
        return await _whole(speech, first, listener, headers)
    return LiveResponse(parts, listener, house.settings.write_timeout, media_type, headers)


async def _begin(body: Any, request: Request, house: Services) -> tuple[AsyncSpeechStream, Encoder]:
    params = generation_params(body)
    source_rate = await house.client.sample_rate()
    encoder = Encoder(body.response_format, source_rate, output_rate(body, source_rate), body.speed)
    voice = body.voice if isinstance(body.voice, str | None) else body.voice.id
    name = await house.voices.resolve(voice) if voice else None
    reference: Reference | None = None
    if body.ref_audio is not None:
        reference = await reference_of(body.ref_audio, body.ref_text, house.settings)
        name = None  # clients that clone must name a voice all the same
    elif body.ref_text is not None:
        raise GatewayError(400, "ref_text says what ref_audio says; give both.", "ref_text")
    request.state.spoken.begin(body.response_format, "clip" if reference else "named" if name else "none")
    metadata = {name: value for name in ("traceparent", "tracestate") if (value := request.headers.get(name))}
    return house.client.stream(body.input, voice=name, reference=reference, params=params, metadata=metadata), encoder


async def _whole(speech: Speech, first: bytes, listener: Listener, headers: dict[str, str]) -> Response:
    try:
        data = await listener.unless_gone(_joined(speech.parts(first)))
    except Gone:
        return Response(status_code=499)
    finally:
        listener.close()
    return Response(data, media_type=speech.media_type, headers=headers | speech.last_headers())


async def _joined(parts: AsyncIterator[bytes]) -> bytes:
    return b"".join([part async for part in parts])


class Speech:
    """One stream of the server, on its way to bytes. Whoever drops it half-way ends the generation."""

    def __init__(self, stream: AsyncSpeechStream, encoder: Encoder, spoken: Spoken) -> None:
        self.chunk: AudioChunk | None = None  # the last that came
        self._stream, self._encoder, self._spoken = stream, encoder, spoken
        spoken.higgs_request_id = stream.request_id

    @property
    def media_type(self) -> str:
        """Of the bytes."""
        return self._encoder.media_type

    async def first_part(self) -> bytes:
        """Wait until there is audio. Raises HiggsError."""
        try:
            async for chunk in self._stream:
                if part := await self._encoded(chunk):
                    return part
        except HiggsError as error:
            self.end(type(error).__name__)
            raise
        except asyncio.CancelledError:
            self.end("gone")
            raise
        return b""

    async def parts(self, first: bytes) -> AsyncIterator[bytes]:
        """All of it, from the first part on. Raises HiggsError when the stream breaks."""
        outcome = "gone"
        try:
            self._spoken.sends(first)
            yield first
            async for chunk in self._stream:
                if part := await self._encoded(chunk):
                    self._spoken.sends(part)
                    yield part
            part = await asyncio.to_thread(self._encoder.finish)
            self._spoken.sends(part)
            yield part
            outcome = (self.chunk and self.chunk.finish_reason) or "cancelled"
        except HiggsError as error:
            outcome = type(error).__name__
            raise
        finally:
            self.end(outcome)

    def end(self, outcome: str) -> None:
        """End the generation, if it has not ended by itself, and note how."""
        self._stream.cancel()
        self._spoken.ends(outcome, self.chunk.report if self.chunk else None)

    def headers(self) -> dict[str, str]:
        """What is known when the first part leaves."""
        return {"x-time-to-first-audio-ms": f"{1000 * self._spoken.first_audio_seconds:.0f}"}

    def last_headers(self) -> dict[str, str]:
        """What is known at the end."""
        about = self.about()
        return {
            "x-finish-reason": about["finish_reason"],
            "x-audio-seconds": f"{self._spoken.audio_seconds:.3f}",
            "x-report": json.dumps(about["report"]),
        }

    def about(self) -> dict[str, Any]:
        """How it ended, and the server's report."""
        report = self.chunk.report if self.chunk else None
        reason = (self.chunk and self.chunk.finish_reason) or "cancelled"
        return {"finish_reason": reason, "report": asdict(report) if report else None}

    async def _encoded(self, chunk: AudioChunk) -> bytes:
        self.chunk = chunk
        self._spoken.hears(chunk)
        if self._encoder.is_cheap:
            return self._encoder.encode(chunk.samples)
        return await asyncio.to_thread(self._encoder.encode, chunk.samples)


async def events(speech: Speech, first: bytes) -> AsyncIterator[bytes]:
    """The same as server-sent events. The last one says how it ended, also when the stream broke."""
    parts = speech.parts(first)
    try:
        async for part in parts:
            yield _event({"type": "speech.audio.delta", "audio": base64.b64encode(part).decode(), **_where(speech)})
    except HiggsError as error:
        yield _event({"type": "speech.audio.error"} | errors.body(error))
        return
    finally:
        await parts.aclose()  # type: ignore[attr-defined]
    report = speech.chunk.report if speech.chunk else None
    tokens = (report.text_tokens, report.frames) if report else (0, 0)
    usage = dict(zip(("input_tokens", "output_tokens", "total_tokens"), (*tokens, sum(tokens)), strict=True))
    yield _event({"type": "speech.audio.done", "usage": usage, **speech.about()})


def _where(speech: Speech) -> dict[str, Any]:
    """What part of the speech the last chunk belongs to."""
    chunk = speech.chunk
    return {"part": chunk.part, "speaker": chunk.speaker, "stop": round(chunk.stop, 6)} if chunk else {}


def _event(values: dict[str, Any]) -> bytes:
    return f"event: {values['type']}\ndata: {json.dumps(values, ensure_ascii=False)}\n\n".encode()
