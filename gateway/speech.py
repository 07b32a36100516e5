"""`POST /v1/audio/speech`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from higgs_tts import HiggsError
from starlette.background import BackgroundTask

from gateway.cache import Kept, etag, key_of, matches
from gateway.encoded_speech import EncodedSpeech, events
from gateway.encoding import FORMATS, Encoder, Output
from gateway.errors import GatewayError, shortened
from gateway.examples import EXAMPLES
from gateway.front import NOBODY, SPEECH_PATH
from gateway.listener import Gone, Listener, LiveResponse
from gateway.meaning import Meant, meant_by, trace
from gateway.models import check_model
from gateway.openapi import EVENT
from gateway.services import Services, services
from gateway.speech_request import SpeechRequest, ignored_fields, output_rate

router = APIRouter(tags=["speech"])
SSE = "text/event-stream"
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_MEDIA_TYPES = [one.media_type for one in FORMATS.values()]


@dataclass(frozen=True)
class Form:
    """Of an answer. output: of its sound. media_type: of the whole. told: what the bytes are made into, if anything."""

    output: Output
    media_type: str
    told: Callable[[EncodedSpeech, AsyncIterator[bytes]], AsyncIterator[bytes]] | None = None


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
    ignored = shortened(", ".join(ignored_fields(body)))
    # A header's value is ASCII, whatever the fields are called.
    headers = {"x-ignored-fields": ignored.encode("ascii", "backslashreplace").decode()} if ignored else {}
    output = Output(body.response_format, output_rate(body, await house.client.sample_rate()))
    form = Form(output, SSE, events) if body.stream_format == "sse" else Form(output, output.format.media_type)
    return await respond(body, form, request, headers)


async def respond(body: Any, form: Form, request: Request, headers: dict[str, str]) -> Response:
    """The speech that a request asks for, in a form that it may name in its own way. headers: of the answer.

    Raises GatewayError, HiggsError.
    """
    house = services(request)
    most = house.settings.max_characters
    if len(body.input) > most:
        raise GatewayError(400, f"input has {len(body.input)} characters; at most {most} are allowed.", "input")
    source_rate, listener = await house.client.sample_rate(), Listener(request.receive)
    is_live = False  # whether the response has taken over the listener
    naming: asyncio.Future[str | None] | None = None
    try:
        meant = await listener.unless_gone(meant_by(body, house))
        naming = asyncio.ensure_future(_key(body, form, meant, house, fresh=False))  # the server may speak meanwhile
        asked = request.headers.get("if-none-match")
        if (asked or house.cache) and (known := await _known(await listener.unless_gone(naming), asked, house)):
            known.headers.update(headers)
            return known
        spoken = request.state.spoken
        spoken.begin(form.output.name, meant.kind, body.speed)
        spoken.text = body.input if house.settings.log_text else None
        stream = house.client.stream(
            body.input, voice=meant.voice, reference=meant.reference, params=meant.params, metadata=trace(request)
        )
        encoder = partial(Encoder, form.output, source_rate, body.speed)
        speech = EncodedSpeech(stream, encoder, spoken)
        first, key = await listener.unless_gone(_first(speech, naming))
        parts = speech.parts(first)
        if form.told is not None:
            parts = form.told(speech, parts)
        keep: BackgroundTask | None = None
        if key is not None:
            headers["etag"] = etag(key)
        if key is not None and house.cache:
            data = bytearray()
            parts = _copied(parts, data)
            keep = BackgroundTask(_keep, data, speech, key, body, form, meant, house)
        headers |= speech.headers()
        if body.stream:
            is_live = True
            return LiveResponse(parts, listener, form.media_type, headers, keep)
        whole = await listener.unless_gone(_joined(parts))
        return Response(whole, media_type=form.media_type, headers=headers | speech.last_headers(), background=keep)
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


async def _key(body: Any, form: Form, meant: Meant, house: Services, fresh: bool) -> str | None:
    """What tells the answer from others; None while the server cannot say what voices it has."""
    try:
        server = await house.voices.identity(fresh)
    except HiggsError:
        return None
    return (
        key_of(body, form.output, form.media_type, meant.voice, meant.params.speakers, meant.clip, server)
        if server
        else None
    )


async def _copied(parts: AsyncIterator[bytes], data: bytearray) -> AsyncIterator[bytes]:
    """The same parts, which `data` gets too."""
    try:
        async for part in parts:
            data += part
            yield part
    finally:
        await parts.aclose()  # type: ignore[attr-defined]


async def _keep(
    data: bytearray, speech: EncodedSpeech, key: str, body: Any, form: Form, meant: Meant, house: Services
) -> None:
    """Keep an answer, if it would be the same again."""
    if speech.is_repeatable and house.cache and await _key(body, form, meant, house, fresh=True) == key:
        await asyncio.to_thread(house.cache.put, key, Kept(form.media_type, speech.last_headers(), bytes(data)))


async def _joined(parts: AsyncIterator[bytes]) -> bytes:
    return b"".join([part async for part in parts])
