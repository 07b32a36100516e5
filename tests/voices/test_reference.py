"""What a reference clip must be, and what is encoded of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from runtime.formats.errors import AudioFormatError
from runtime.voices.reference import ReferenceRules

LIMITS = {"sample_rate": 24000, "hop_length": 960, "min_seconds": 0.5, "max_seconds": 30.0, "min_peak": 1e-3}


def checked(samples: np.ndarray, **settings: Any) -> np.ndarray:
    return ReferenceRules(**LIMITS | settings).checked(samples)


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(samples).uniform(-0.5, 0.5, samples).astype(np.float32)


def refusal(samples: np.ndarray, **settings: Any) -> str:
    with pytest.raises(AudioFormatError) as caught:
        checked(samples, **settings)
    return str(caught.value)


@pytest.mark.parametrize("rest", [0, 1, 118, 119, 480, 631, 632, 959])
@pytest.mark.parametrize("shape", [(-1,), (1, -1), (-1, 1)])
def test_whole_frames_are_kept_as_they_are_and_the_rest_is_cut(rest: int, shape: tuple[int, ...]) -> None:
    clip = noise(20 * 960 + rest)
    found = checked(clip.reshape(shape))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, clip[: 20 * 960])


@pytest.mark.parametrize(("samples", "frames"), [(12000, 12), (12479, 12), (12480, 13), (719999, 749), (720000, 750)])
def test_the_shortest_and_the_longest_clip_are_measured_as_given(samples: int, frames: int) -> None:
    assert len(checked(noise(samples))) == frames * 960


@pytest.mark.parametrize("samples", [0, 1, 960, 11999, 720001, 720960])
def test_other_lengths_are_refused(samples: int) -> None:
    assert "it must last 0.5 to 30.0 s" in refusal(noise(samples))


def test_a_clip_has_at_least_one_frame_however_short_a_bundle_allows_it() -> None:
    assert len(checked(noise(960), min_seconds=0.0)) == 960
    assert "it must last 0.04 to 30.0 s" in refusal(noise(959), min_seconds=0.0)


def test_sound_only_in_the_rest_that_is_cut_is_silence() -> None:
    clip = np.zeros(20 * 960 + 100, np.float32)
    clip[-50:] = 0.5
    assert "is silent" in refusal(clip)


def test_a_sample_that_is_no_number_is_refused_in_the_rest_too() -> None:
    clip = noise(20 * 960 + 100)
    clip[-1] = np.nan
    assert "NaN or infinite" in refusal(clip)
