"""`POST /v1/audio/speech`."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, cast

from fastapi import APIRouter, Body, Request, Response
from higgs_tts import GenerationParams, HiggsError, Reference
from starlette.background import BackgroundTask

from gateway.cache import Kept, etag, key_of, matches
from gateway.clips import reference_of
from gateway.encoded_speech import EncodedSpeech, events
from gateway.encoding import FORMATS, Encoder
from gateway.errors import GatewayError, shortened
from gateway.examples import EXAMPLES
from gateway.front import NOBODY, SPEECH_PATH
from gateway.listener import Gone, Listener, LiveResponse
from gateway.models import check_model
from gateway.openapi import EVENT
from gateway.services import Services, services
from gateway.speech_request import SpeechRequest, generation_params, ignored_fields, output_rate

router = APIRouter(tags=["speech"])
SSE = "text/event-stream"
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_MEDIA_TYPES = [one.media_type for one in FORMATS.values()]
_TRACEPARENT = re.compile("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@router.post(
    SPEECH_PATH,
    response_class=Response,
    responses={
        200: {
            "description": "Audio in the format asked for, or server-sent events that carry it.",
            "content": dict.fromkeys(_MEDIA_TYPES, _BYTES) | {SSE: {"schema": EVENT}},
        },
        304: {"description": "The answer is the one that `If-None-Match` names."},
    },
)
async def speak(body: Annotated[SpeechRequest, Body(openapi_examples=EXAMPLES)], request: Request) -> Response:
    """Speak a text. The first bytes leave with the first window of audio."""
    house = services(request)
    check_model(body.model)
    most = house.settings.max_characters
    if len(body.input) > most:
        raise GatewayError(400, f"input has {len(body.input)} characters; at most {most} are allowed.", "input")
    ignored = shortened(", ".join(ignored_fields(body)))
    # A header's value is ASCII, whatever the fields are called.
    headers = {"x-ignored-fields": ignored.encode("ascii", "backslashreplace").decode()} if ignored else {}
    source_rate = await house.client.sample_rate()
    rate, listener = output_rate(body, source_rate), Listener(request.receive)
    is_live = False  # whether the response has taken over the listener
    naming: asyncio.Future[str | None] | None = None
    try:
        meant = await listener.unless_gone(_meant(body, house))
        naming = asyncio.ensure_future(_key(body, meant, house, fresh=False))  # the server may speak meanwhile
        asked = request.headers.get("if-none-match")
        if (asked or house.cache) and (known := await _known(await listener.unless_gone(naming), asked, house)):
            known.headers.update(headers)
            return known
        spoken = request.state.spoken
        spoken.begin(body.response_format, meant.kind, body.speed)
        spoken.text = body.input if house.settings.log_text else None
        stream = house.client.stream(
            body.input, voice=meant.voice, reference=meant.reference, params=meant.params, metadata=_trace(request)
        )
        encoder = partial(Encoder, body.response_format, source_rate, rate, body.speed)
        speech = EncodedSpeech(stream, encoder, spoken)
        first, key = await listener.unless_gone(_first(speech, naming))
        parts = speech.parts(first)
        media_type = SSE if body.stream_format == "sse" else FORMATS[body.response_format].media_type
        if body.stream_format == "sse":
            parts = events(speech, parts)
        keep: BackgroundTask | None = None
        if key is not None:
            headers["etag"] = etag(key)
        if key is not None and house.cache:
            data = bytearray()
            parts = _copied(parts, data)
            keep = BackgroundTask(_keep, data, speech, media_type, key, body, meant, house)
        headers |= speech.headers()
        if body.stream:
            is_live = True
            return LiveResponse(parts, listener, media_type, headers, keep)
        whole = await listener.unless_gone(_joined(parts))
        return Response(whole, media_type=media_type, headers=headers | speech.last_headers(), background=keep)
    except Gone:
        return Response(status_code=NOBODY)
    finally:
        if naming is not None:
            naming.cancel()
        if not is_live:
            listener.close()


async def _first(speech: EncodedSpeech, naming: asyncio.Future[str | None]) -> tuple[bytes, str | None]:
    """The speech's first part, and what the answer is called. Raises HiggsError."""
    first = await speech.first_part()
    try:
        return first, await naming
    except BaseException:
        speech.leave()
        raise


async def _known(key: str | None, asked: str | None, house: Services) -> Response | None:
    """The answer, where the client or the cache has it already. asked: the header If-None-Match."""
    if key is None:
        return None
    headers = {"etag": etag(key)}
    if matches(asked, key):
        return Response(status_code=304, headers=headers)
    if house.cache and (kept := await asyncio.to_thread(house.cache.get, key)):
        house.metrics.cached.inc()
        return Response(kept.data, media_type=kept.media_type, headers=headers | kept.headers)
    return None


@dataclass(frozen=True)
class _Meant:
    """What a request means here: options whose voices are the server's, and a voice or a recording to take it from.

    clip: the recording's digest.
    """

    params: GenerationParams
    voice: str | None
    reference: Reference | None
    clip: str

    @property
    def kind(self) -> str:
        return "clip" if self.reference else "named" if self.voice else "none"


async def _meant(body: Any, house: Services) -> _Meant:
    """Raises GatewayError for what the gateway can tell is wrong."""
    params = generation_params(body)
    if isinstance(params.speakers, dict):  # `extra` may say anything, which the server then refuses
        params = replace(params, speakers=await house.voices.resolve_all(params.speakers))
    if body.ref_audio is not None:  # some clients must name a voice, which then means nothing
        reference = await reference_of(body.ref_audio, body.ref_text, house.settings)
        return _Meant(params, None, reference, await asyncio.to_thread(_digest, reference))
    if body.ref_text is not None:
        raise GatewayError(400, "ref_text says what ref_audio says; send both.", "ref_text")
    voice = body.voice if isinstance(body.voice, str | None) else body.voice.id
    return _Meant(params, await house.voices.resolve(voice) if voice else None, None, "")


def _digest(reference: Reference) -> str:
    samples, rate = cast(tuple[Any, int], reference.audio)
    return hashlib.sha256(samples.tobytes() + str(rate).encode()).hexdigest()


def _trace(request: Request) -> dict[str, str]:
    """W3C's trace context of the request; none that is malformed."""
    parent, state = (request.headers.get(name, "") for name in ("traceparent", "tracestate"))
    if not _TRACEPARENT.fullmatch(parent):
        return {}
    sendable = state and state.isascii() and state.isprintable()
    return {"traceparent": parent} | ({"tracestate": state} if sendable else {})


async def _key(body: Any, meant: _Meant, house: Services, fresh: bool) -> str | None:
    """What tells the answer from others; None while the server cannot say what voices it has."""
    try:
        server = await house.voices.identity(fresh)
    except HiggsError:
        return None
    return key_of(body, meant.voice, meant.params.speakers, meant.clip, server) if server else None


async def _copied(parts: AsyncIterator[bytes], data: bytearray) -> AsyncIterator[bytes]:
    """The same parts, which `data` gets too."""
    try:
        async for part in parts:
            data += part
            yield part
    finally:
        await parts.aclose()  # type: ignore[attr-defined]


async def _keep(
    data: bytearray, speech: EncodedSpeech, media_type: str, key: str, body: Any, meant: _Meant, house: Services
) -> None:
    """Keep an answer, if it would be the same again."""
    if speech.is_repeatable and house.cache and await _key(body, meant, house, fresh=True) == key:
        await asyncio.to_thread(house.cache.put, key, Kept(media_type, speech.last_headers(), bytes(data)))


async def _joined(parts: AsyncIterator[bytes]) -> bytes:
    return b"".join([part async for part in parts])
