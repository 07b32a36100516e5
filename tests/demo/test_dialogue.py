"""Four speakers in the demo checkpoint's voices, told apart by a speaker encoder that knows nothing of Higgs Audio.

The small model was trained on one reference clip at a time, so its speakers are kept apart (`dialogue_context="own"`).

Run: python -m pytest tests/demo/test_dialogue.py
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from higgs_tts import GenerationParams, HiggsClient, Speech

from demo.speaker import SpeakerEncoder

VOICES = Path(__file__).resolve().parent.parent.parent / "voices"
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
def speech(client: HiggsClient) -> Speech:
    params = GenerationParams(seed=1, speakers=SPEAKERS, dialogue_context="own", context_parts=0, hold_parts=True)
    return client.synthesize(TRANSCRIPT, params=params)


def turns(speech: Speech) -> list[np.ndarray]:
    rate = speech.sample_rate
    return [speech.samples[round(part.start * rate) : round(part.stop * rate)] for part in speech.parts]


def test_four_speakers_keep_their_voices(speech: Speech, figure: Callable[[str, str], None]) -> None:
    encoder = SpeakerEncoder()
    clips = {name: soundfile.read(VOICES / f"{name}.wav", dtype="float32") for name in SPEAKERS.values()}
    centres = {name: encoder.embed(*clip) for name, clip in clips.items()}
    heard = []
    for part, audio in zip(speech.parts, turns(speech), strict=True):
        embedding = encoder.embed(audio, speech.sample_rate)
        heard.append((part.speaker, max(centres, key=lambda name: float(embedding @ centres[name]))))
    assert [speaker for speaker, _ in heard] == [line.partition(":")[0] for line in TRANSCRIPT.splitlines()]
    right = sum(SPEAKERS[speaker or ""] == voice for speaker, voice in heard)
    assert right == len(heard), heard
    assert speech.report is not None
    assert speech.report.voices == SPEAKERS
    figure("a dialogue of four speakers in the demo voices", f"{right} of {len(heard)} turns in the right voice")


def test_nobody_is_much_louder_than_the_last(speech: Speech, figure: Callable[[str, str], None]) -> None:
    levels = np.array([20 * np.log10(np.sqrt(np.mean(np.square(audio)))) for audio in turns(speech)])
    jump = np.abs(np.diff(levels)).max()
    assert jump < 10.0, f"{jump:.1f} dB from one turn to the next: {levels.round(1)}"
    figure("loudness over a dialogue", f"{levels.min():.1f} to {levels.max():.1f} dBFS, {jump:.1f} dB at a join")
