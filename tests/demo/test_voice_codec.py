"""An independent ear on the demo voice's codec: PocketSphinx, which knows nothing of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from convert.codec import context_frames, load_codec
from demo.listener import Listener
from demo.speaker import SpeakerEncoder
from demo.training.features import HOP

ROOT = Path(__file__).resolve().parent.parent.parent
CODEC = ROOT / "demo" / "checkpoint" / "audio_tokenizer"
CLIPS = sorted((ROOT / "voices").glob("*.wav"))


@pytest.fixture(scope="module")
def decoded() -> dict[Path, np.ndarray]:
    """Each shipped clip through the codec, float32 [samples] at the clip's rate."""
    codec, heard = load_codec(str(CODEC), None), {}
    for file in CLIPS:
        samples, _ = soundfile.read(file, dtype="float32")
        framed = torch.from_numpy(np.pad(samples, (0, -len(samples) % HOP)))[None, None]
        with torch.no_grad():
            audio = codec.decode(codec.encode(framed).audio_codes).audio_values
        heard[file] = audio[0, 0, : len(samples)].numpy()
    return heard


def test_the_first_sound_waits_for_seven_frames_ahead():
    assert context_frames(load_codec(str(CODEC), None)) == 7


def test_the_codec_keeps_the_words(decoded):
    listener = Listener()
    assert len(decoded) >= 3
    for file, samples in decoded.items():
        words = file.with_suffix(".txt").read_text().lower().rstrip(".\n")
        assert listener.transcribe(samples, soundfile.info(file).samplerate) == words
        assert listener.transcribe(samples[::-1].copy(), soundfile.info(file).samplerate) != words


def test_the_codec_keeps_the_voices(decoded):
    encoder = SpeakerEncoder()
    own = {file: encoder.embed(*soundfile.read(file, dtype="float32")) for file in CLIPS}
    for file, samples in decoded.items():
        spoken = encoder.embed(samples, soundfile.info(file).samplerate)
        assert max(own, key=lambda other: float(own[other] @ spoken)) == file
