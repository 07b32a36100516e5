"""OpenAI's Python client makes a voice of a clip, with a consent, and speaks in it."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
from openai import OpenAI

from tests.http_clients.serving import ROOT
from tests.http_clients.sound import RATE, TEXT, decoded

CLIP = ROOT / "voices" / "rms.wav"
WORDS = CLIP.with_suffix(".txt").read_text().strip()


@pytest.fixture(scope="module")
def client(base_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=base_url, api_key="none", max_retries=0) as made:
        yield made


def test_a_consent_is_kept_and_a_voice_made_with_it(client: OpenAI) -> None:
    consents = client.audio.voice_consents
    consent = consents.create(name="Robert", language="en-US", recording=CLIP)
    assert consent.id.startswith("cons_") and consents.retrieve(consent.id).name == "Robert"
    assert consents.update(consent.id, name="Rob").name == "Rob"
    assert [one.id for one in consents.list()] == [consent.id]

    voice = client.audio.voices.create(
        name="robert", audio_sample=CLIP, consent=consent.id, extra_body={"ref_text": WORDS}
    )
    assert voice.id == "voice_robert" and voice.object == "audio.voice"
    assert voice.type == "audio_sample" and voice.created_at
    answer = client.audio.speech.create(
        model="gpt-4o-mini-tts", voice={"id": voice.id}, input=TEXT, response_format="pcm"
    )
    assert len(decoded(answer.content, "pcm")) > RATE
    removed = client.audio.voices.delete(voice.id)
    assert removed.deleted and removed.object == "audio.voice.deleted"

    assert consents.delete(consent.id).deleted and not [*consents.list()]
    with pytest.raises(openai.NotFoundError):
        consents.retrieve(consent.id)


def test_a_voice_without_words_or_consent_is_refused(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="ref_text"):
        client.audio.voices.create(name="wordless", audio_sample=CLIP, consent="Robert agreed.")
    with pytest.raises(openai.NotFoundError, match="cons_none"):
        client.audio.voices.create(
            name="stranger", audio_sample=CLIP, consent="cons_none", extra_body={"ref_text": WORDS}
        )
