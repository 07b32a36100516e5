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
from gateway.copies import Copy
from gateway.encoded_speech import EncodedSpeech, events, sound_of_events, with_word
from gateway.encoding import FORMATS, Encoder, Output
from gateway.errors import GatewayError, shortened
from gateway.examples import EXAMPLES
from gateway.front import NOBODY, SPEECH_PATH
from gateway.listener import Gone, Listener, LiveResponse
from gateway.meaning import Meant, meant_by, trace
from gateway.models import check_model
from gateway.openapi import EVENT, STORED_HEADERS
from gateway.services import Services, services
from gateway.speech_request import SpeechRequest, ignored_fields, output_rate
from gateway.store import wants

router = APIRouter(tags=["speech"])
SSE = "text/event-stream"
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_MEDIA_TYPES = [one.media_type for one in FORMATS.values()]


@dataclass(frozen=True)
class Form:
    """Of an answer. output: of its sound. media_type: of the whole. told: what the bytes are made into, if anything;
    sound: the bytes in a whole answer. said: what adds to the answer what became of a copy, where it has room for that.
    """

    output: Output
    media_type: str
    told: Callable[[EncodedSpeech, AsyncIterator[bytes]], AsyncIterator[bytes]] | None = None
    sound: Callable[[bytes], bytes] = bytes
    said: Callable[[AsyncIterator[bytes], Copy], AsyncIterator[bytes]] | None = None


@router.post(
    SPEECH_PATH,
    response_class=Response,
    responses={
        200: {
            "description": "Audio in the format asked for, or server-sent events that carry it.",
            "content": dict.fromkeys(_MEDIA_TYPES, _BYTES) | {SSE: {"schema": EVENT}},
            "headers": STORED_HEADERS,
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
    form = (
        Form(output, SSE, events, sound_of_events, with_word)
        if body.stream_format == "sse"
        else Form(output, output.format.media_type)
    )
    return await respond(body, form, request, headers)


async def respond(body: Any, form: Form, request: Request, headers: dict[str, str]) -> Response:
    """The speech that a request asks for, in a form that it may name in its own way. headers: of the answer.

    Raises GatewayError, HiggsError.
    """
    house = services(request)
    most = house.settings.max_characters
    if len(body.input) > most:
        raise GatewayError(400, f"input has {len(body.input)} characters; at most {most} are allowed.", "input")
    store = wants(house.store, body.store)
    source_rate, listener = await house.client.sample_rate(), Listener(request.receive)
    is_live = False  # whether the response has taken over the listener
    naming: asyncio.Future[str | None] | None = None
    try:
        meant = await listener.unless_gone(meant_by(body, house))
        naming = asyncio.ensure_future(_key(body, form, meant, house, fresh=False))  # the server may speak meanwhile
        spoken = request.state.spoken

        def copied() -> Copy | None:
            about = (meant, form.output, body.speed, body.session_id, house.client.known_bundle, body.input)
            return store.begin(spoken, *about) if store is not None else None

        # Who asks to have it stored wants more than to hear that they have it.
        asked = None if body.store else request.headers.get("if-none-match")
        if asked or house.cache:
            key = await listener.unless_gone(naming)
            known = await listener.unless_gone(_known(key, asked, form, body.speed, copied, house))
            if known is not None:
                known.headers.update(headers)
                return known
        spoken.begin(form.output.name, meant.kind, body.speed)
        spoken.text = body.input if house.settings.log_text else None
        stream = house.client.stream(
            body.input, voice=meant.voice, reference=meant.reference, params=meant.params, metadata=trace(request)
        )
        encoder = partial(Encoder, form.output, source_rate, body.speed)
        speech = EncodedSpeech(stream, encoder, spoken)
        spoken.copy = copy = copied()
        first, key, where = await listener.unless_gone(_first(speech, naming, copy))
        parts = speech.parts(first) if form.told is None else form.told(speech, speech.parts(first))
        keep: BackgroundTask | None = None
        headers |= {"etag": etag(key)} if key is not None else {}
        if key is not None and house.cache:
            data = bytearray()
            parts = _copied(parts, data)
            keep = BackgroundTask(_keep, data, speech, key, body, form, meant, house)
        if copy is not None and form.said is not None:
            parts = form.said(parts, copy)
        headers |= speech.headers() | where
        if body.stream:
            is_live = True
            return LiveResponse(parts, listener, form.media_type, headers, keep)
        whole = await listener.unless_gone(_joined(parts))
        headers |= speech.last_headers() | (await listener.unless_gone(copy.last_headers()) if copy is not None else {})
        return Response(whole, media_type=form.media_type, headers=headers, background=keep)
    except Gone:
        return Response(status_code=NOBODY)
    finally:
        if naming is not None:
            naming.cancel()
        if not is_live:
            listener.close()


async def _first(
    speech: EncodedSpeech, naming: asyncio.Future[str | None], copy: Copy | None
) -> tuple[bytes, str | None, dict[str, str]]:
    """The speech's first part, the answer's key, and headers that say where its copy goes. Raises HiggsError."""
    first = await speech.first_part()
    try:
        return first, await naming, await copy.headers() if copy is not None else {}
    except BaseException:
        speech.leave()
        raise


async def _known(
    key: str | None, asked: str | None, form: Form, speed: float, copied: Callable[[], Copy | None], house: Services
) -> Response | None:
    """The answer, where the client or the cache has it already. asked: the header If-None-Match."""
    if key is None:
        return None
    headers = {"etag": etag(key)}
    if matches(asked, key):
        return Response(status_code=304, headers=headers)
    if not house.cache or not (kept := await asyncio.to_thread(house.cache.get, key)):
        return None
    house.metrics.cached.inc()
    data, copy = kept.data, copied()
    if copy is not None:
        copy.add(form.sound(data))
        seconds = float(kept.headers["x-audio-seconds"]) / speed
        copy.end({"finish-reason": kept.headers["x-finish-reason"], "audio-seconds": f"{seconds:.3f}"})
        headers |= await copy.headers() | await copy.last_headers()
        if form.said is not None:
            data = await _joined(form.said(_once(data), copy))
    return Response(data, media_type=kept.media_type, headers=headers | kept.headers)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


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
