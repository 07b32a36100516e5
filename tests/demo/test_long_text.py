"""A long text in one voice, in default settings through the real server: its words, and its loudness at the joins.

Whoever speaks, syllables differ in loudness. So the half seconds of speech before and behind each join are compared
with each other as half seconds inside the parts are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from higgs_tts import GenerationParams, HiggsClient, Speech

from demo.listener import Listener, word_error_rate
from tests.demo.conftest import WORD_ERROR_RATE, parts_of, words_of

# Sentences so long that the default settings make each of them a part of its own.
TEXT = """My name is Anna and I live in London. A small yellow book is inside the house.
I would like two cups of tea please. The weather in Paris is sunny and cold.
My name is James and I live in Berlin. A big green cat is inside the hotel.
I would like six cups of coffee please. The weather in Boston is rainy and cold."""
FRAME_SECONDS = 0.02
HALF_SECOND = 25  # frames
PAUSE_DECIBELS = 30.0  # so far below the loudest frame nobody speaks
# Measured: a join is within 0.2 dB of what is usual inside a part, and neighbours differ by 2.4 dB at most.
JOIN_MARGIN, PART_STEP = 1.0, 4.0


@dataclass(frozen=True)
class Steps:
    """Differences of level in dB: at joins, inside parts from one half second to the next, between whole parts."""

    joins: np.ndarray
    inside: np.ndarray
    parts: np.ndarray

    @property
    def jump(self) -> float:
        """By how much a join usually differs more than what is inside a part."""
        return float(np.abs(self.joins).mean() - np.abs(self.inside).mean())


def spoken(samples: np.ndarray, rate: int) -> np.ndarray:
    """The power of every frame in which somebody speaks."""
    frame = round(FRAME_SECONDS * rate)
    power = np.square(samples[: len(samples) // frame * frame].reshape(-1, frame)).mean(axis=1)
    return power[power > power.max() * 10 ** (-PAUSE_DECIBELS / 10)]


def level(power: np.ndarray) -> float:
    return float(10 * np.log10(power.mean()))


def steps(parts: list[np.ndarray]) -> Steps:
    """parts: the power of each one's spoken frames."""
    halves = [
        [level(part[start : start + HALF_SECOND]) for start in range(0, len(part) - HALF_SECOND + 1, HALF_SECOND)]
        for part in parts
    ]
    joins = [level(after[:HALF_SECOND]) - level(before[-HALF_SECOND:]) for before, after in pairwise(parts)]
    return Steps(
        joins=np.array(joins),
        inside=np.concatenate([np.diff(own) for own in halves]),
        parts=np.diff([level(part) for part in parts]),
    )


@pytest.fixture(scope="module")
def speech(client: HiggsClient) -> Speech:
    return client.synthesize(f"{TEXT} {TEXT}", voice="slt", params=GenerationParams(seed=1))


@pytest.fixture(scope="module")
def parts(speech: Speech) -> list[np.ndarray]:
    return [spoken(audio, speech.sample_rate) for audio in parts_of(speech)]


def test_every_part_is_understood_in_view_of_those_before(
    speech: Speech, listener: Listener, figure: Callable[[str, str], None]
) -> None:
    assert (len(speech.parts), speech.finish_reason) == (16, "stop")
    rate = word_error_rate(words_of(speech, listener))
    figure("word errors of a long text in the demo voice", f"{rate:.1%} in {len(speech.parts)} parts")
    assert rate <= WORD_ERROR_RATE


def test_joins_are_as_even_as_what_is_between_them(parts: list[np.ndarray], figure: Callable[[str, str], None]) -> None:
    found = steps(parts)
    assert found.jump < JOIN_MARGIN, f"joins {found.joins.round(1)}, inside {found.inside.round(1)}"
    assert np.abs(found.parts).max() < PART_STEP, found.parts.round(1)
    figure(
        "loudness over a long text in one voice",
        f"{np.abs(found.joins).mean():.1f} dB from before to behind a join, {np.abs(found.inside).mean():.1f} dB in "
        f"parts; {np.abs(found.parts).max():.1f} dB between neighbouring parts at most",
    )


def test_a_jump_would_be_noticed(parts: list[np.ndarray]) -> None:
    """Every second part is made louder by 6 dB."""
    uneven = steps([part * 10 ** (0.6 * (number % 2)) for number, part in enumerate(parts)])
    assert uneven.jump > JOIN_MARGIN
    assert np.abs(uneven.parts).max() > PART_STEP
