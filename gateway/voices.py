"""`/v1/audio/voices`: the server's voices as many kinds of clients list them, and voices of clips that they send."""

from __future__ import annotations

import time
import unicodedata
from typing import Any

from fastapi import APIRouter, Request
from higgs_tts import VoiceProfile
from pydantic import BaseModel, Field

from gateway.clips import Recording, decoded
from gateway.consent_folder import ID_PREFIX as CONSENT_PREFIX
from gateway.consents import consent_of
from gateway.errors import GatewayError, shortened
from gateway.services import Services, services
from gateway.uploads import File, form_body, uploaded
from gateway.voice_names import ID_PREFIX

PATH = "/v1/audio/voices"

router = APIRouter(tags=["voices"])


class VoiceForm(BaseModel):
    """A voice to be made: OpenAI's fields, vLLM-Omni's and SGLang-Omni's, and ours."""

    name: str = Field(min_length=1, max_length=200, description="1 to 48 letters, digits, `_`, `-` or `.`.")
    audio_sample: File | None = Field(
        None, description="An audio file of at most 10 MiB: WAV, MP3, Ogg, AAC, FLAC, WebM or MP4."
    )
    consent: str | None = Field(
        None, max_length=500, description="With a sample: the id of a consent, or who agreed to what in words."
    )
    ref_text: str | None = Field(None, description="What the sample says, word for word. The model needs it.")
    speaker_description: str | None = Field(None, description="How the voice sounds; without a sample, all there is.")
    language: str | None = Field(None, max_length=35)
    gender: str | None = Field(None, max_length=35)
    replace: bool = Field(False, description="Whether an added voice of that name may be overwritten.")


@router.get(PATH)
async def list_voices(request: Request) -> dict[str, Any]:
    """All voices, sorted by name; and once more those that were added, as vLLM-Omni lists them."""
    found = (await services(request).voices.voices()).values()
    uploaded_voices = [_as_uploaded(voice) for voice in found if voice.origin == "added"]
    return {"voices": [_described(voice) for voice in found], "uploaded_voices": uploaded_voices}


@router.get("/v1/audio/speech/voices")
async def list_voices_of_speech(request: Request) -> dict[str, Any]:
    """The same, where Speaches has it."""
    return {"voices": [_described(voice) for voice in (await services(request).voices.voices()).values()]}


@router.post(PATH, openapi_extra=form_body(VoiceForm))
async def add_voice(request: Request) -> dict[str, Any]:
    """Make a voice of a clip and its words, or of a description. The next request can be spoken in it.

    403 where the server has no state folder to keep voices in. The answer is OpenAI's and vLLM-Omni's at once.
    """
    house = services(request)
    form = await uploaded(request, VoiceForm)
    if form.name.startswith(ID_PREFIX):
        raise GatewayError(400, f"name begins with {ID_PREFIX}, as ids do; take another one.", "name")
    told = {"language": form.language, "gender": form.gender, "description": form.speaker_description}
    metadata: dict[str, Any] = {key: value for key, value in told.items() if value}
    metadata["created_at"] = int(time.time())
    reference = None
    if form.audio_sample is not None:
        recording, consent = await _checked(form, form.audio_sample, house)
        reference = recording.reference(form.ref_text)
        metadata |= {"consent": consent, "mime_type": recording.media_type, "file_size": len(form.audio_sample)}
    elif form.ref_text:
        raise GatewayError(400, "ref_text says what audio_sample says; send both.", "audio_sample")
    elif not form.speaker_description:
        raise GatewayError(400, "A voice needs an audio_sample, or a speaker_description.", "audio_sample")
    voice = await house.client.add_voice(form.name, reference, metadata=metadata, replace=form.replace)
    house.voices.forget()
    return _as_openai(voice) | {"success": True, "voice": _as_uploaded(voice)}


@router.get(PATH + "/{voice_id}")
async def show_voice(voice_id: str, request: Request) -> dict[str, Any]:
    """One voice, by its name or its id."""
    return _described(voice := await _found(voice_id, services(request))) | _as_openai(voice)


@router.delete(PATH + "/{voice_id}")
async def remove_voice(voice_id: str, request: Request) -> dict[str, Any]:
    """Remove a voice that was added, by its name or its id. 403 for those that came with the model."""
    house = services(request)
    voice = await _found(voice_id, house)
    if voice.origin != "added":
        raise GatewayError(403, f"Voice {voice.name!r} came with the model and cannot be removed.", "voice")
    await house.client.remove_voice(voice.name)
    house.voices.forget()
    about = {"id": ID_PREFIX + voice.name, "object": "audio.voice.deleted", "deleted": True}
    return about | {"success": True, "message": f"Voice '{voice.name}' was removed."}


async def _checked(form: VoiceForm, sample: bytes, house: Services) -> tuple[Recording, dict[str, Any] | str]:
    """The clip, and what the voice's metadata say of the consent to it."""
    if not (form.ref_text or "").strip():
        raise GatewayError(400, "The model needs the words that audio_sample says; send them as ref_text.", "ref_text")
    if not form.consent:
        raise GatewayError(
            400, "Whose voice it is must agree; send a consent's id as consent, or say who agreed.", "consent"
        )
    consent: dict[str, Any] | str = form.consent
    if form.consent.startswith(CONSENT_PREFIX):
        kept = await consent_of(form.consent, house)
        told = ("id", "name", "language", "created_at", "sha256")
        consent = {name: getattr(kept, name) for name in told}
    return await decoded(sample, "audio_sample", house.settings.max_clip_seconds), consent


async def _found(name: str, house: Services) -> VoiceProfile:
    voices = await house.voices.voices()
    name = unicodedata.normalize("NFC", name)
    voice = voices.get(name) or voices.get(name.removeprefix(ID_PREFIX))
    if voice is None:
        raise GatewayError(404, f"There is no voice {shortened(name)!r}.", "voice", "voice_not_found")
    return voice


def _described(voice: VoiceProfile) -> dict[str, Any]:
    """For clients that list voices. They show ids to people, so the id is the name."""
    told = {key: voice.metadata.get(key) for key in ("language", "gender", "description")}
    return {"id": voice.name, "name": voice.name, "origin": voice.origin, "seconds": voice.seconds, **told}


def _as_openai(voice: VoiceProfile) -> dict[str, Any]:
    created_at = voice.metadata.get("created_at", 0)
    kind = "audio_sample" if voice.seconds else "prompt"
    about = {"object": "audio.voice", "type": kind, "created_at": created_at}
    return about | {"id": ID_PREFIX + voice.name, "name": voice.name}


def _as_uploaded(voice: VoiceProfile) -> dict[str, Any]:
    """For vLLM-Omni's clients, of a voice that was added, perhaps not by the gateway."""
    consent = voice.metadata.get("consent", "")
    return {
        "name": voice.name,
        "consent": consent["id"] if isinstance(consent, dict) else consent,
        "created_at": voice.metadata.get("created_at", 0),
        "file_size": voice.metadata.get("file_size", 0),
        "mime_type": voice.metadata.get("mime_type", ""),
        "ref_text": voice.transcript,
        "speaker_description": voice.metadata.get("description"),
    }
