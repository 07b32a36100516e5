"""Dialogues in the demo checkpoint's voices, in default settings: who speaks, by a speaker encoder that knows nothing
of Higgs Audio, and what is said, by a recogniser that does not either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from higgs_tts import GenerationParams, HiggsClient, Speech

from demo.listener import Listener, word_error_rate
from demo.speaker import SpeakerEncoder
from demo.training.conversations import SMART_VOICES
from tests.demo.conftest import VOICES, WORD_ERROR_RATE, parts_of, words_of

pytestmark = pytest.mark.long

SPEAKERS = {"Anna": "slt", "Peter": "awb", "David": "rms", "Lucy": "slt"}
TRANSCRIPT = """Anna: My name is Anna and I live in London.
Peter: The train to London leaves on Monday.
David: I would like two cups of tea please.
Lucy: It will be cloudy on Monday.
Peter: My brother lives in Boston.
Anna: The speech is streamed out of Triton.
David: The weather in Paris is sunny and cold.
Lucy: There are two books in the house."""


@pytest.fixture(scope="module")
def speeches(client: HiggsClient) -> list[Speech]:
    """One for each of three seeds: of a single one's 57 words one sentence is an eighth."""
    params = GenerationParams(speakers=SPEAKERS, hold_parts=True)
    return [client.synthesize(TRANSCRIPT, params=replace(params, seed=seed)) for seed in range(3)]


@pytest.fixture(scope="module")
def speech(speeches: list[Speech]) -> Speech:
    return speeches[1]


def voices_of(speech: Speech) -> list[tuple[str | None, str]]:
    """Of each turn its speaker, and which of the voices that ship it sounds most like."""
    encoder = SpeakerEncoder()
    centres = {file.stem: encoder.embed(*soundfile.read(file, dtype="float32")) for file in VOICES.glob("*.wav")}
    heard = []
    for part, audio in zip(speech.parts, parts_of(speech), strict=True):
        embedding = encoder.embed(audio, speech.sample_rate)
        heard.append((part.speaker, max(centres, key=lambda name: float(embedding @ centres[name]))))
    return heard


def test_four_speakers_keep_their_voices(speech: Speech, figure: Callable[[str, str], None]) -> None:
    heard = voices_of(speech)
    assert [speaker for speaker, _ in heard] == [line.partition(":")[0] for line in TRANSCRIPT.splitlines()]
    right = sum(SPEAKERS[speaker or ""] == voice for speaker, voice in heard)
    assert right == len(heard), heard
    assert speech.report is not None
    assert speech.report.voices == SPEAKERS
    figure("a dialogue of four speakers in the demo voices", f"{right} of {len(heard)} turns in the right voice")


def test_voices_are_chosen_by_feminine_and_masculine(client: HiggsClient) -> None:
    """Of the voices it was taught so, and the same one throughout the dialogue."""
    kinds = {speaker: "feminine" if voice == "slt" else "masculine" for speaker, voice in SPEAKERS.items()}
    speech = client.synthesize(TRANSCRIPT, params=GenerationParams(speakers=kinds, hold_parts=True, seed=1))
    turns = [line.partition(":")[0] for line in TRANSCRIPT.splitlines()]
    assert voices_of(speech) == [(speaker, SMART_VOICES[kinds[speaker]]) for speaker in turns]


def test_their_words_are_understood(
    speeches: list[Speech], listener: Listener, figure: Callable[[str, str], None]
) -> None:
    pairs = [pair for speech in speeches for pair in words_of(speech, listener)]
    rate = word_error_rate(pairs)
    figure("word errors of dialogues in the demo voices", f"{rate:.1%} in {len(pairs)} turns")
    assert rate <= WORD_ERROR_RATE


def test_nobody_is_much_louder_than_the_last(speech: Speech, figure: Callable[[str, str], None]) -> None:
    levels = np.array([20 * np.log10(np.sqrt(np.mean(np.square(audio)))) for audio in parts_of(speech)])
    jump = np.abs(np.diff(levels)).max()
    assert jump < 10.0, f"{jump:.1f} dB from one turn to the next: {levels.round(1)}"
    figure("loudness over a dialogue", f"{levels.min():.1f} to {levels.max():.1f} dBFS, {jump:.1f} dB at a join")
