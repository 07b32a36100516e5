"""Speech from phones alone: what the nets are told of a phone, that they say a mean, and readings."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from demo.codec import CODE_SIZE
from demo.training import phone_speech, reading_set
from demo.training.features import LatentSpace
from demo.training.flite import PAUSE
from demo.training.latent_set import CodeSpace
from demo.training.phone_speech import (
    NAMES,
    PhoneSpeech,
    PhoneSpeechTraining,
    SpokenPhones,
    frames_within,
    load,
    surrounded,
)
from demo.training.quantizer import quantize
from demo.training.reading_set import ReadingMaker
from demo.training.readings import PHONES, VOICES


def test_a_phone_is_told_its_neighbours():
    around = surrounded([PAUSE, "k", "ae", "t", PAUSE, "s"])
    assert around.shape == (6, 3)
    assert [[NAMES[number] for number in row] for row in around[[0, 3, 5]]] == [
        ["", PAUSE, "k"],
        ["ae", "t", PAUSE],
        [PAUSE, "s", ""],
    ]


def test_a_frame_is_told_its_place_in_its_phone():
    assert frames_within(np.array([1, 3])).tolist() == [
        [0, 1, 0.5, 1],
        *([number, 3, pytest.approx((number + 0.5) / 3), pytest.approx(1 / 3)] for number in range(3)),
    ]
    long = frames_within(np.array([12]))
    assert long[-1, :2].tolist() == [8, 8] and float(long[-1, 2]) == pytest.approx(11.5 / 12)


@pytest.fixture
def heard() -> SpokenPhones:
    """Two phones in turn in every voice: "s" is three frames long give or take one, "aa" two; latents tell phones and
    voices apart, four noises' deviations each."""
    noise = torch.Generator().manual_seed(0)
    names = [PAUSE, *["s", "aa", "s", "aa", PAUSE] * 100]
    number = torch.tensor([NAMES.index(name) for name in names])
    lengths = torch.where(number == NAMES.index("s"), 3.0, 2.0).repeat(len(VOICES))
    lengths += torch.where(lengths == 3.0, torch.randint(-1, 2, lengths.shape, generator=noise), 0)
    voices = torch.arange(len(VOICES)).repeat_interleave(len(names))
    counts = lengths.long().numpy()
    of_phone = torch.repeat_interleave(torch.from_numpy(counts))
    means = torch.zeros(len(of_phone), CODE_SIZE)
    is_s = number.repeat(len(VOICES))[of_phone] == NAMES.index("s")
    means[:, 0], means[:, 1] = 4 * is_s, 4 * voices[of_phone]
    return SpokenPhones(
        surrounded(names).repeat(len(VOICES), 1),
        voices,
        lengths,
        frames_within(counts),
        of_phone,
        means + torch.randn(means.shape, generator=noise),
    )


def test_phones_are_said_as_they_are_on_average(heard, tmp_path, monkeypatch):
    monkeypatch.setattr(phone_speech, "WIDTH", 64)
    training = PhoneSpeechTraining(heard, heard, tmp_path / phone_speech.STATE)
    training.run(until=300)
    speech = load(tmp_path)
    names = [PAUSE, *["s", "aa", "s", "aa", PAUSE] * 4]
    for number, voice in enumerate(VOICES):
        latents, counts = speech.speak(names, voice)
        assert counts[6:].tolist() == [3, 2, 3, 2, 2] * 3  # the beginning was heard once a voice
        is_s = torch.tensor([name == "s" for name in names]).repeat_interleave(torch.from_numpy(counts))
        assert float(latents[is_s, 0].mean()) == pytest.approx(4, abs=0.5)
        assert float(latents[~is_s, 0].mean()) == pytest.approx(0, abs=0.5)
        assert float(latents[:, 1].mean()) == pytest.approx(4 * number, abs=0.5)
        assert latents.std(dim=0)[2:].max() < 0.5  # the noise is not learned
        again, _ = speech.speak(names, voice)
        assert torch.equal(again, latents)


def test_every_phone_has_a_frame(monkeypatch):
    """However short the net thinks it is."""
    speech = PhoneSpeech().eval()
    monkeypatch.setattr(speech, "lengths", lambda phones, voices: torch.full((len(voices),), -0.7))
    latents, counts = speech.speak(["k", "ae", "t"], VOICES[0])
    assert counts.tolist() == [1, 1, 1] and latents.shape == (3, CODE_SIZE)


CODEBOOKS = torch.randn(8, 1024, CODE_SIZE, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> ReadingMaker:
    """Two frames a phone; what flite would answer is given."""
    spelled = {"c": "k", "a": "ae", "n": "n", "i": "ih", "t": "t", "f": "f", "s": "s", "b": "b", "m": "m", "z": ""}
    some = ("it", "at", "in", "an", "can", "sit", "fit", "bit", "cat", "fat", "man", "ban", "cab", "mat", "z")
    words = {word: tuple(phone for letter in word if (phone := spelled[letter])) for word in some}
    monkeypatch.setattr(reading_set, "pronunciations", lambda asked: {one: words[one] for one in asked if one in words})
    speech = PhoneSpeech().eval()
    monkeypatch.setattr(speech, "lengths", lambda phones, voices: torch.full((len(voices),), 2.0))
    space = CodeSpace(LatentSpace(torch.zeros(1), torch.zeros(1, CODE_SIZE)), CODEBOOKS)
    return ReadingMaker(space, speech, torch.nn.Identity())


def test_readings_are_the_phones_speech_with_the_letter_of_each_frame(maker, monkeypatch):
    said = [PAUSE, "ih", "t", "k", "ax", "n", PAUSE]  # "can" sounds otherwise alone
    monkeypatch.setattr(reading_set, "phones_of", lambda text: said)
    monkeypatch.setattr(reading_set, "REFERENCES", 0)
    readings = maker.read(["It can."] * 2)
    assert [reading.voice for reading in readings] == [VOICES[0], VOICES[1], VOICES[0], VOICES[2]]
    for reading in readings:
        latents, _ = maker._speech.speak(said, reading.voice)
        assert reading.heard is None
        assert np.array_equal(reading.codes, quantize(latents, CODEBOOKS)[0].T.numpy())
        assert "".join("It can.|"[place] for place in reading.places) == "IIIIttccaann||"


def test_words_are_spelled_without_being_spoken(maker):
    [can, fat] = maker.spell(["Can", "z", "fat"])  # of what is not said at all there is nothing to learn
    assert (can.written, can.codes.shape, can.places.shape, can.heard) == ("Can", (8, 0), (0,), None)
    for reading, phones in ((can, ("k", "ae", "n")), (fat, ("f", "ae", "t"))):
        assert [[PHONES[phone] for phone in letter] for letter in reading.sounds] == [[phone, ""] for phone in phones]
