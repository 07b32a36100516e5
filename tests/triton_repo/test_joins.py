"""Two parts meet without a click. Run: python -m pytest tests/triton_repo/test_joins.py"""

from __future__ import annotations

import numpy as np
import pytest

from runtime.codec.joins import joined

FADE, PAUSE = 120, 960
TONE = np.cos(np.arange(4800) * 0.05).astype(np.float32)


def test_without_a_join_nothing_changes() -> None:
    np.testing.assert_array_equal(joined(TONE, False, False, FADE, 0), TONE)


def test_edges_are_brought_to_zero_and_the_rest_is_left_alone() -> None:
    audio = joined(TONE, True, True, FADE, PAUSE)
    assert len(audio) == len(TONE) + PAUSE
    np.testing.assert_array_equal(audio[FADE : len(TONE) - FADE], TONE[FADE:-FADE])
    assert abs(audio[0]) < 1e-3 > abs(audio[len(TONE) - 1])
    assert not audio[len(TONE) :].any()
    around = np.concatenate([np.zeros(1, np.float32), audio])
    assert np.abs(np.diff(around)).max() <= np.abs(np.diff(TONE)).max() + np.pi / (2 * FADE)


@pytest.mark.parametrize("samples", [0, 1, 50])
def test_audio_shorter_than_a_fade_is_still_audio(samples: int) -> None:
    audio = joined(TONE[:samples], True, True, FADE, 10)
    assert (len(audio), np.isfinite(audio).all()) == (samples + 10, True)
    assert np.abs(audio).max(initial=0) <= 1
