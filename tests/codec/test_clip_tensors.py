"""Clips to encode and codes that are known, in one request."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from runtime.codec.clip_tensors import read_clips
from runtime.formats.errors import InvalidRequestError

SAMPLES = np.arange(5, dtype=np.float32)
CODES = np.arange(6, dtype=np.int32).reshape(2, 3)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def test_codes_stand_in_the_order_of_the_clips() -> None:
    clips = read_clips(SAMPLES, ints(0, 2, 0, 3), CODES, ints(1, 0, 2, 0), 2)
    assert [samples.tolist() for samples in clips.samples] == [[0, 1], [2, 3, 4]]
    assert clips.num_known == 2
    first, second = np.full((2, 1), 7), np.full((2, 4), 8)
    whole = clips.with_codes([first, second])
    for codes, expected in zip(whole, (CODES[:, :1], first, CODES[:, 1:], second), strict=True):
        np.testing.assert_array_equal(codes, expected)


def test_nothing_need_be_known_and_nothing_need_be_brought() -> None:
    unknown = read_clips(SAMPLES, ints(5), None, None, 2)
    assert (unknown.num_known, len(unknown.samples)) == (0, 1)
    nothing = read_clips(SAMPLES[:0], ints(), CODES[:, :0], ints(), 2)
    assert nothing.with_codes([]) == []


def test_what_is_read_outlives_the_request() -> None:
    samples, codes = SAMPLES.copy(), CODES.copy()
    clips = read_clips(samples, ints(5, 0), codes, ints(0, 3), 2)
    samples[:], codes[:] = -1, -1
    np.testing.assert_array_equal(clips.samples[0], SAMPLES)
    np.testing.assert_array_equal(clips.with_codes([CODES])[1], CODES)


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"samples": None}, "reference_samples and reference_lengths belong together"),
        ({"codes": None}, "known_codes and known_frames belong together"),
        ({"lengths": ints(4, 0)}, "reference_samples has 5 samples, but the clips"),
        ({"lengths": ints(6, -1)}, "reference_samples has 5 samples, but the clips"),
        ({"codes": np.zeros((3, 3), np.int32)}, "it must be 2 codebooks by the frames"),
        ({"frames": ints(0, 2)}, "it must be 2 codebooks by the frames"),
        ({"frames": ints(3, 0)}, "each clip must have either samples or known frames"),
        ({"frames": ints(0, 3, 0)}, "each clip must have either samples or known frames"),
        ({"lengths": ints(5, 0, 0), "frames": ints(0, 3, 0)}, "each clip must have either samples or known frames"),
    ],
    ids=range(9),
)
def test_tensors_that_do_not_fit_are_refused(change: dict[str, Any], sentence: str) -> None:
    values: dict[str, Any] = {"samples": SAMPLES, "lengths": ints(5, 0), "codes": CODES, "frames": ints(0, 3)}
    with pytest.raises(InvalidRequestError, match=sentence):
        read_clips(**values | change, num_codebooks=2)
