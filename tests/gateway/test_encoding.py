"""Formats that ElevenLabs' clients name, without a server."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest

from gateway.encoding import Encoder, Output, elevenlabs_output

RATE = 24_000
TONE = (0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("pcm_8000", Output("pcm", 8000)),
        ("pcm_48000", Output("pcm", 48000)),
        ("mp3_22050_32", Output("mp3", 22050, 32_000)),
        ("mp3_44100_192", Output("mp3", 44100, 192_000)),
        ("opus_48000_64", Output("opus", 48000, 64_000)),
        ("ulaw_8000", Output("ulaw", 8000)),
        ("alaw_8000", Output("alaw", 8000)),
        ("ulaw_16000", None),
        ("opus_22050_64", None),
        ("mp3_44100", None),
        ("mp3_44100_999", None),
        ("pcm_24000_32", None),
        ("pcm_999", None),
        ("flac_24000", None),
        ("", None),
    ],
)
def test_names_of_formats(name: str, output: Output | None) -> None:
    assert elevenlabs_output(name) == output


def encoded(output: Output) -> bytes:
    encoder = Encoder(output, RATE)
    return b"".join(encoder.encode(TONE[start : start + 4800]) for start in range(0, RATE, 4800)) + encoder.finish()


@pytest.mark.parametrize("name", ["ulaw", "alaw"])
def test_telephones_hear_the_tone(name: str) -> None:
    data = encoded(Output(name, 8000))
    assert abs(len(data) - 8000) <= 1, "a byte a sample, and the resampler may round"
    with av.open(
        io.BytesIO(data), "r", format={"ulaw": "mulaw"}.get(name, name), options={"sample_rate": "8000"}
    ) as file:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)]).astype(np.float32) / 32768
    middle = samples[400:7600]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * 8000 / len(middle) == pytest.approx(440, abs=2)
    assert np.sqrt(2 * (middle**2).mean()) == pytest.approx(0.3, rel=0.02)


@pytest.mark.parametrize(("name", "rate"), [("mp3", 44_100), ("opus", 48_000)])
def test_a_bit_rate_is_kept(name: str, rate: int) -> None:
    small, large = (8 * len(encoded(Output(name, rate, bit_rate))) for bit_rate in (32_000, 128_000))
    # Opus varies with the sound, and each of Ogg's pages of 20 ms costs 28 bytes.
    assert 30_000 < small < 55_000 and 120_000 < large < 180_000
