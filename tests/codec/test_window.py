"""What the decoder is given of a window: its frames, the context on both sides, marks where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.formats.window import NO_FRAME, Window

CONTEXT = 3
STREAM = np.arange(40, dtype=np.int32).reshape(2, 20)
NOTHING = np.full((2, CONTEXT), NO_FRAME, np.int32)
ENDLESS = np.concatenate([NOTHING, STREAM, NOTHING], axis=1)


@pytest.mark.parametrize("count", [1, 4, 20])
@pytest.mark.parametrize("sent", [CONTEXT, CONTEXT + 2], ids=["as much context", "more of it"])
def test_the_new_frames_stand_between_their_contexts(count: int, sent: int) -> None:
    for start in range(20 - count + 1):
        left = max(0, start - sent)
        window = Window(STREAM[:, left : start + count + sent], start - left, count, start)
        given = window.surrounded(CONTEXT)
        assert given.dtype == np.int32
        np.testing.assert_array_equal(given, ENDLESS[:, start : start + count + 2 * CONTEXT])


def test_a_window_without_new_frames_needs_none() -> None:
    for codes in (STREAM[:, :0], STREAM):
        assert Window(codes).surrounded(CONTEXT).shape == (2, 0)
