"""A sentence of the demo voice through the gateway, in every format at three speeds: its words, length and pitch."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import av
import httpx
import numpy as np
import pytest
import soxr

from demo.listener import Listener
from gateway.encoding import FORMATS, Encoder, Output
from gateway.settings import Settings
from serve.triton import TritonServer
from tests.gateway.running import running
from tests.gateway.test_speech import likeness

TEXT, WORDS = "The speech is streamed out of Triton.", "the speech is streamed out of triton"
RATE = 24_000
SPEEDS = (0.5, 1.0, 2.0)
FASTEST_HEARD = 1.5  # the recogniser hardly knows faster speakers
ALIKE = 0.9  # correlation of a sound with what an encoder left of it
LENGTH, PITCH = 0.02, 0.01  # relative
# mp3 and AAC begin with silence, the encoder's delay, and end with a frame filled up; nothing in a stream of theirs
# says how much, so a player plays it.
PADDING_SECONDS = 0.08
QUIET = 0.02  # of the loudest sample: what is below it at the ends is no speech
VOICED = 0.2  # the same, of a vowel
LOWEST_HZ, HIGHEST_HZ = 70, 300
Sound = np.ndarray


@pytest.fixture(scope="module")
def sounds(voice_server: TritonServer) -> dict[tuple[str, float], Sound]:
    """The sentence as samples [n] at RATE, by format and speed."""
    kinds = [(name, speed) for name in FORMATS for speed in SPEEDS]
    with running(Settings(triton=voice_server.grpc_url)) as url, httpx.Client(base_url=url, timeout=120) as http:

        def speak(kind: tuple[str, float]) -> bytes:
            body = {"input": TEXT, "response_format": kind[0], "speed": kind[1]}
            return http.post("/v1/audio/speech", json=body).raise_for_status().content

        with ThreadPoolExecutor(4) as pool:
            return {kind: decoded(data, kind[0]) for kind, data in zip(kinds, pool.map(speak, kinds), strict=True)}


def decoded(data: bytes, name: str) -> Sound:
    """As a player plays it."""
    if name == "pcm":
        return np.frombuffer(data, "<i2").astype(np.float32) / 32768
    with av.open(io.BytesIO(data), "r") as file:
        rate = file.streams.audio[0].rate
        to_floats = av.AudioResampler("flt", "mono", rate)
        frames = [one.to_ndarray() for frame in file.decode(audio=0) for one in to_floats.resample(frame)]
    return soxr.resample(np.concatenate(frames, axis=1)[0], rate, RATE)


def loud(sound: Sound) -> np.ndarray:
    """Which samples are no silence."""
    return np.abs(sound) > QUIET * np.abs(sound).max()


def speech_seconds(sound: Sound) -> float:
    """From the first to the last that is no silence."""
    places = np.flatnonzero(loud(sound))
    return float(places[-1] - places[0]) / RATE


def pitches(sound: Sound, seconds: np.ndarray) -> np.ndarray:
    """In Hz at these moments, NaN where nothing is voiced: where the autocorrelation of 40 ms is highest."""
    size, shortest, longest = RATE // 25, RATE // HIGHEST_HZ, RATE // LOWEST_HZ
    found = np.full(len(seconds), np.nan)
    for place, start in enumerate((seconds * RATE).astype(int)):
        piece = sound[start : start + size + longest].astype(np.float64)
        if len(piece) < size + longest or np.abs(piece).max() < VOICED * np.abs(sound).max():
            continue
        energy = np.convolve(piece**2, np.ones(size), "valid")
        match = np.correlate(piece, piece[:size], "valid") / np.sqrt(energy * energy[0])
        lag = shortest + int(match[shortest:longest].argmax())
        if match[lag] > 0.9:
            below, peak, above = match[lag - 1 : lag + 2]  # it lies between samples
            found[place] = RATE / (lag + (below - above) / (2 * (below - 2 * peak + above)))
    return found


def pitch_change(plain: Sound, sound: Sound, speed: float) -> float:
    """The median of what became of the pitch, relative, at the same moments of the speech."""
    moments = np.arange(0, len(plain) / RATE, 0.01)
    delay = np.flatnonzero(loud(sound))[0] / RATE - np.flatnonzero(loud(plain))[0] / RATE / speed
    ratios = pitches(sound, moments / speed + delay) / pitches(plain, moments)
    assert np.isfinite(ratios).sum() > 30
    return float(np.nanmedian(ratios)) - 1


@pytest.mark.parametrize("speed", [speed for speed in SPEEDS if speed <= FASTEST_HEARD])
@pytest.mark.parametrize("name", FORMATS)
def test_it_is_heard_as_written(
    sounds: dict[tuple[str, float], Sound], listener: Listener, name: str, speed: float
) -> None:
    assert listener.transcribe(sounds[name, speed], RATE) == WORDS


def test_what_is_very_fast_is_heard_slowed_down(sounds: dict[tuple[str, float], Sound], listener: Listener) -> None:
    """Without a second loss; that the other formats hold the same sound is measured too."""
    fast = sounds["pcm", 2.0]
    slower = Encoder(Output("pcm", RATE), RATE, 0.5)
    assert listener.transcribe(decoded(slower.encode(fast) + slower.finish(), "pcm"), RATE) == WORDS
    for name in FORMATS:
        assert likeness(sounds[name, 2.0], fast) > ALIKE, name


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("name", FORMATS)
def test_speed_changes_the_length_and_not_the_pitch(
    sounds: dict[tuple[str, float], Sound], figure: Callable[[str, str], None], name: str, speed: float
) -> None:
    sound, plain = sounds[name, speed], sounds["pcm", 1.0]
    whole = len(plain) / RATE / speed
    longer = len(sound) / RATE - whole
    length = speech_seconds(sound) / (speech_seconds(plain) / speed) - 1
    height = pitch_change(plain, sound, speed)
    figure(f"{name} at speed {speed:g}", f"file {1000 * longer:+.0f} ms, speech {length:+.2%}, pitch {height:+.2%}")
    assert -LENGTH * whole < longer < (PADDING_SECONDS if name in {"mp3", "aac"} else LENGTH * whole)
    assert abs(length) < LENGTH and abs(height) < PITCH
