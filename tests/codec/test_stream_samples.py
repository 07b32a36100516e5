"""Two parts meet without a click."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from runtime.codec.stream_samples import stream_samples
from runtime.formats.window import Window

HOP, FADE, PAUSE = 960, 120, 2
TONE = np.cos(np.arange(5 * HOP) * 0.05).astype(np.float32)


def joined(samples: np.ndarray, **changes: bool | int) -> np.ndarray:
    count = len(samples) // HOP
    window = Window(np.zeros((8, count), np.int32), 0, count, **changes)
    audio, held = stream_samples(samples, window, HOP, FADE)
    assert not len(held)
    return audio


def test_without_a_join_nothing_changes() -> None:
    np.testing.assert_array_equal(joined(TONE), TONE)


def test_edges_are_brought_to_zero_and_the_rest_is_left_alone() -> None:
    audio = joined(TONE, begins=True, ends=True, pause=PAUSE)
    assert len(audio) == len(TONE) + PAUSE * HOP
    np.testing.assert_array_equal(audio[FADE : len(TONE) - FADE], TONE[FADE:-FADE])
    assert abs(audio[0]) < 1e-3 > abs(audio[len(TONE) - 1])
    assert not audio[len(TONE) :].any()
    around = np.concatenate([np.zeros(1, np.float32), audio])
    assert np.abs(np.diff(around)).max() <= np.abs(np.diff(TONE)).max() + np.pi / (2 * FADE)


def test_what_is_louder_than_full_scale_is_clipped() -> None:
    np.testing.assert_array_equal(joined(2 * TONE), np.clip(2 * TONE, -1, 1))


@pytest.mark.parametrize("samples", [0, 1, 50])
def test_audio_shorter_than_a_fade_is_still_audio(samples: int) -> None:
    window = Window(np.zeros((8, 1), np.int32), 0, 1, begins=True, ends=True, pause=10)
    audio, _ = stream_samples(TONE[:samples], window, max(1, samples), FADE)
    assert (len(audio), np.isfinite(audio).all()) == (samples + 10 * max(1, samples), True)
    assert np.abs(audio).max(initial=0) <= 1


@pytest.mark.parametrize("samples", [0, 50, 4 * HOP])
@pytest.mark.parametrize("ends", [False, True])
def test_an_open_end_is_decided_by_what_follows_and_sounds_as_if_it_had_been_known(samples: int, ends: bool) -> None:
    window = Window(np.zeros((8, 4), np.int32), 0, 4)
    known, _ = stream_samples(TONE[:samples], replace(window, ends=ends, pause=PAUSE), HOP, FADE)
    first, held = stream_samples(TONE[:samples], replace(window, open=True), HOP, FADE)
    assert len(held) == min(samples, FADE)
    nothing = Window(np.zeros((8, 0), np.int32), ends=ends, pause=PAUSE)
    rest, left = stream_samples(TONE[:0], nothing, HOP, FADE, held)
    np.testing.assert_array_equal(np.concatenate([first, rest]), known)
    assert not len(left)
