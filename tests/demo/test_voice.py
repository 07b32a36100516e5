"""Independent ears on the demo checkpoint, through the real Triton: a speech recogniser and a speaker encoder.

Neither knows anything of Higgs Audio: a wrong codebook order, delay, seam or codec is heard here as wrong words.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
from higgs_tts import GenerationParams, HiggsClient, Speech

from convert.torchaudio_shim import install
from demo.domain import Domain
from demo.listener import Listener, word_error_rate
from demo.speaker import SpeakerEncoder
from tests.conftest import ROOT
from tests.demo.conftest import CHECKPOINT, VOICES, WORD_ERROR_RATE

install()

from transformers import AutoModel, AutoProcessor  # noqa: E402

SENTENCES = 24
LONGEST = 1.3  # times the duration of the synthesiser that it learned from


@pytest.fixture(scope="module")
def held_out() -> list[dict[str, object]]:
    """Sentences never trained on, with the synthesiser's duration in seconds."""
    return json.loads((CHECKPOINT / "held_out.json").read_text())[:SENTENCES]


@pytest.fixture(scope="module")
def speeches(client: HiggsClient, held_out: list[dict[str, object]]) -> list[Speech]:
    """Each held-out sentence in the default settings, its number as its seed, four streams at a time."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda job: _speak(client, job[1]["written"], job[0]), enumerate(held_out)))


def _speak(client: HiggsClient, text: object, seed: int, voice: str | None = None) -> Speech:
    return client.synthesize(str(text), voice=voice, params=GenerationParams(seed=seed))


def _heard(listener: Listener, speeches: list[Speech]) -> list[str]:
    return [listener.transcribe(speech.samples, speech.sample_rate) for speech in speeches]


def test_unseen_sentences_are_understood(speeches, held_out, listener, figure):
    said = [str(one["sentence"]) for one in held_out]
    rate = word_error_rate(zip(said, _heard(listener, speeches), strict=True))
    figure(f"word errors of the demo voice, {SENTENCES} held-out sentences", f"{rate:.1%}")
    assert rate <= WORD_ERROR_RATE


def test_streams_end_by_themselves_and_in_time(speeches, held_out):
    assert {speech.finish_reason for speech in speeches} == {"stop"}
    for speech, one in zip(speeches, held_out, strict=True):
        assert speech.seconds <= LONGEST * float(str(one["seconds"])), one["sentence"]


def test_the_recogniser_is_not_easily_pleased(speeches, held_out, listener):
    """Played backwards, or against the wrong sentence, the same speech is not understood."""
    said = [str(one["sentence"]) for one in held_out]
    backwards = [listener.transcribe(speech.samples[::-1], speech.sample_rate) for speech in speeches]
    assert word_error_rate(zip(said, backwards, strict=True)) > 0.5
    assert word_error_rate(zip(said[1:] + said[:1], _heard(listener, speeches), strict=True)) > 0.5


def test_every_shipped_voice_is_recognised(client, held_out, listener):
    encoder = SpeakerEncoder()
    clips = {file.stem: soundfile.read(file, dtype="float32") for file in sorted(VOICES.glob("*.wav"))}
    own = {name: encoder.embed(samples, rate) for name, (samples, rate) in clips.items()}
    assert len(own) >= 3
    for name in own:
        speeches = [_speak(client, one["written"], seed, voice=name) for seed, one in enumerate(held_out[:3])]
        spoken = encoder.embed(np.concatenate([speech.samples for speech in speeches]), speeches[0].sample_rate)
        assert max(own, key=lambda other: float(own[other] @ spoken)) == name


def test_seeded_speech_is_the_same_alone_and_in_a_batch(client, speeches, held_out):
    for place in (0, 5):
        alone = _speak(client, held_out[place]["written"], place)
        assert alone.samples.shape == speeches[place].samples.shape
        # Equal codes; the codec's sums may round differently in a larger batch of windows.
        assert np.allclose(alone.samples, speeches[place].samples, atol=1e-3 * alone.samples.std())


def test_transformers_opens_the_checkpoint_from_the_repository_root(monkeypatch):
    monkeypatch.chdir(ROOT)
    processor = AutoProcessor.from_pretrained("demo/checkpoint")
    assert processor.audio_tokenizer.config.num_quantizers == 8
    assert AutoModel.from_pretrained("demo/checkpoint").config.codebook_size == 1026


def test_the_checkpoint_is_small():
    assert sum(file.stat().st_size for file in CHECKPOINT.rglob("*") if file.is_file()) < 40_000_000


def test_held_out_sentences_are_of_the_domain(held_out):
    words = set(Domain.load().words)
    assert all(set(str(one["sentence"]).split()) <= words for one in held_out)
