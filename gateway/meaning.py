"""What a request means here: its options, whose voices are the server's, and the voice that speaks."""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass, replace
from typing import Any, cast

from higgs_tts import GenerationParams, Reference
from starlette.requests import HTTPConnection

from gateway.clips import reference_of
from gateway.errors import GatewayError
from gateway.services import Services
from gateway.speech_request import generation_params

_TRACEPARENT = re.compile("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True)
class Meant:
    """What a request asks for: options whose voices are the server's, and a voice or a recording to take it from.

    clip: the recording's digest.
    """

    params: GenerationParams
    voice: str | None
    reference: Reference | None
    clip: str

    @property
    def kind(self) -> str:
        return "clip" if self.reference else "named" if self.voice else "none"


async def meant_by(body: Any, house: Services) -> Meant:
    """Raises GatewayError for what the gateway can tell is wrong."""
    params = generation_params(body)
    if isinstance(params.speakers, dict):  # `extra` may say anything, which the server then refuses
        params = replace(params, speakers=await house.voices.resolve_all(params.speakers))
    if body.ref_audio is not None:  # some clients must name a voice, which then means nothing
        reference = await reference_of(body.ref_audio, body.ref_text, house.settings)
        return Meant(params, None, reference, await asyncio.to_thread(_digest, reference))
    if body.ref_text is not None:
        raise GatewayError(400, "ref_text says what ref_audio says; send both.", "ref_text")
    voice = body.voice if isinstance(body.voice, str | None) else body.voice.id
    return Meant(params, await house.voices.resolve(voice) if voice else None, None, "")


def _digest(reference: Reference) -> str:
    samples, rate = cast(tuple[Any, int], reference.audio)
    return hashlib.sha256(samples.tobytes() + str(rate).encode()).hexdigest()


def trace(request: HTTPConnection) -> dict[str, str]:
    """W3C's trace context of the request; none that is malformed."""
    parent, state = (request.headers.get(name, "") for name in ("traceparent", "tracestate"))
    if not _TRACEPARENT.fullmatch(parent):
        return {}
    sendable = state and state.isascii() and state.isprintable()
    return {"traceparent": parent} | ({"tracestate": state} if sendable else {})
