"""A listener's player runs dry exactly when a chunk comes after what it holds has been played."""

from __future__ import annotations

import numpy as np
import pytest
from higgs_tts import AudioChunk

from tools.bench.player import starved_seconds

RATE = 1000


def chunks(*arrivals: tuple[float, float]) -> list[AudioChunk]:
    """Of (when it came, how long it lasts), in seconds."""
    return [
        AudioChunk(np.zeros(round(lasts * RATE), np.float32), 0, RATE, None, received_at=came)
        for came, lasts in arrivals
    ]


@pytest.mark.parametrize(
    ("arrivals", "starved"),
    [
        ([], 0.0),
        ([(5.0, 1.0)], 0.0),
        ([(5.0, 1.0), (5.9, 1.0), (6.9, 1.0)], 0.0),
        ([(5.0, 1.0), (6.5, 1.0)], 0.5),
        ([(5.0, 1.0), (6.5, 1.0), (7.0, 1.0), (8.6, 1.0)], 0.6),  # heard later by what it waited before
        ([(5.0, 0.0), (9.0, 1.0), (10.0, 0.0)], 0.0),  # what holds no sample neither starts nor delays it
    ],
)
def test_it_starves_while_nothing_is_left_to_play(arrivals: list[tuple[float, float]], starved: float) -> None:
    assert starved_seconds(chunks(*arrivals)) == pytest.approx(starved)
