"""`/v1/audio/voice_consents`: recordings in which people agree to a voice made of theirs, as OpenAI keeps them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from gateway.clips import decoded
from gateway.consent_folder import MOST, Consent, ConsentFolder, TooMany
from gateway.errors import GatewayError, shortened
from gateway.services import Services, services
from gateway.uploads import File, form_body, uploaded

PATH = "/v1/audio/voice_consents"
_LANGUAGE = r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$"
Name = Annotated[str, Field(min_length=1, max_length=200)]
T = TypeVar("T")

logger = logging.getLogger(__name__)
router = APIRouter(tags=["consents"])


class ConsentForm(BaseModel):
    """A consent to be kept."""

    name: Name
    language: str = Field(max_length=35, pattern=_LANGUAGE, description="Of the recording, as BCP 47 has it: en-GB.")
    recording: File = Field(description="An audio file of at most 10 MiB: WAV, MP3, Ogg, AAC, FLAC, WebM or MP4.")


class ConsentName(BaseModel):
    """Another name for a consent."""

    name: Name


class ConsentAnswer(BaseModel):
    """A consent, in OpenAI's shape."""

    object: str = "audio.voice_consent"
    id: str
    name: str
    language: str
    created_at: int = Field(description="Unix time in seconds.")


class ConsentPage(BaseModel):
    """Some of the consents, the newest first."""

    object: str = "list"
    data: list[ConsentAnswer]
    first_id: str | None
    last_id: str | None
    has_more: bool


@router.post(PATH, openapi_extra=form_body(ConsentForm))
async def add_consent(request: Request) -> ConsentAnswer:
    """Keep a consent. 403 where the gateway has no folder for them."""
    house = services(request)
    folder = _folder(house)
    form = await uploaded(request, ConsentForm)
    heard = await decoded(form.recording, "recording", house.settings.max_clip_seconds)
    if not heard.seconds:
        raise GatewayError(400, "recording is empty.", "recording")
    try:
        return _answer(await _done(folder.add, form.name, form.language, form.recording, heard.media_type))
    except TooMany:
        raise GatewayError(403, f"There are {MOST} consents, which is the limit; remove one first.") from None


@router.get(PATH)
async def list_consents(
    request: Request, after: str | None = Query(None, max_length=200), limit: int = Query(20, ge=1, le=100)
) -> ConsentPage:
    """Consents, the newest first, from the one behind `after` on."""
    found, more = await _done(_folder(services(request)).page, after, limit)
    data = [_answer(one) for one in found]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return ConsentPage(data=data, first_id=first, last_id=last, has_more=more)


@router.get(PATH + "/{consent_id}")
async def show_consent(consent_id: str, request: Request) -> ConsentAnswer:
    """One consent."""
    return _answer(await consent_of(consent_id, services(request)))


@router.post(PATH + "/{consent_id}")
async def rename_consent(consent_id: str, body: ConsentName, request: Request) -> ConsentAnswer:
    """Give a consent another name."""
    renamed = await _done(_folder(services(request)).rename, consent_id, body.name)
    if renamed is None:
        raise _unknown(consent_id)
    return _answer(renamed)


@router.delete(PATH + "/{consent_id}")
async def remove_consent(consent_id: str, request: Request) -> dict[str, Any]:
    """Remove a consent with its recording. The voices that were made with it stay, and say so."""
    if not await _done(_folder(services(request)).remove, consent_id):
        raise _unknown(consent_id)
    return {"id": consent_id, "object": "audio.voice_consent", "deleted": True}


async def consent_of(number: str, house: Services) -> Consent:
    """The consent with that id. Raises GatewayError where there is none, or no folder for them."""
    consent = await _done(_folder(house).get, number)
    if consent is None:
        raise _unknown(number)
    return consent


def _folder(house: Services) -> ConsentFolder:
    if house.settings.consents is None:
        raise GatewayError(
            403, "This gateway keeps no consents; its operator names a folder with --consents.", code="no_consents"
        )
    return ConsentFolder(house.settings.consents)


async def _done(work: Callable[..., T], *values: Any) -> T:
    try:
        return await asyncio.to_thread(work, *values)
    except OSError as error:
        logger.warning("consents: %s", error)  # which names the folder, as no message to a client does
        reason = error.strerror or type(error).__name__
        raise GatewayError(403, f"The gateway cannot use its folder of consents ({reason}).") from error


def _unknown(number: str) -> GatewayError:
    return GatewayError(404, f"There is no consent {shortened(number)!r}.", "consent", "consent_not_found")


def _answer(consent: Consent) -> ConsentAnswer:
    return ConsentAnswer(id=consent.id, name=consent.name, language=consent.language, created_at=consent.created_at)
