"""The tree of kept positions, without a model: each position's values are a number that its whole beginning decides.

Run: python -m pytest tests/engine/test_prefix_cache.py
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable

import numpy as np
import pytest
import torch

from engine.prefix_cache import PrefixCache, position_rows
from engine.types import AudioSegment, CodebookLayout, Segment, TextSegment

LAYOUT = CodebookLayout(num_codebooks=2, codebook_size=6, stream_bos_id=4, stream_eos_id=5)
POSITION_BYTES = 2 * 3 * 4  # two tensors of three heads with one float32 each
COST = POSITION_BYTES + 3 * 4  # and the position's row
PLENTY = 10_000 * COST


def values_of(rows: np.ndarray) -> torch.Tensor:
    """What a model would have for these positions: float32 [2, 3, positions, 1]."""
    numbers = [float(zlib.crc32(rows[: end + 1].tobytes()) % 2**20) for end in range(len(rows))]
    return torch.tensor(numbers).expand(2, 3, -1)[..., None].clone()


def reader(rows: np.ndarray) -> Callable[[int, int], torch.Tensor]:
    return lambda start, stop: values_of(rows)[:, :, start:stop].clone()


def found(cache: PrefixCache, rows: np.ndarray) -> int:
    """How many positions are kept; fails unless their values are right."""
    known = cache.known(rows)
    pieces = cache.lookup(rows)
    kept = torch.cat(pieces, dim=2) if pieces else torch.empty(2, 3, 0, 1)
    torch.testing.assert_close(kept, values_of(rows)[:, :, :known], rtol=0, atol=0)
    return known


def prompt(rng: random.Random) -> np.ndarray:
    """Few different tokens and codes, so that prompts often begin alike for some way."""
    segments: list[Segment] = []
    for _ in range(rng.randint(1, 4)):
        count = rng.randint(1, 6)
        if rng.random() < 0.5:
            segments.append(TextSegment(np.array([rng.choice((0, 0, 0, 1)) for _ in range(count)])))
        else:
            segments.append(AudioSegment(np.array([[0, rng.choice((0, 0, 0, 1))] for _ in range(count)])))
    return position_rows(segments, LAYOUT)


def in_common(first: np.ndarray, second: np.ndarray) -> int:
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if (a != b).any()),
        min(len(first), len(second)),
    )


@pytest.mark.parametrize("seed", range(20))
def test_as_much_is_found_as_any_stored_prompt_has_in_common_and_it_is_held_once(seed: int) -> None:
    rng = random.Random(seed)
    cache = PrefixCache(PLENTY, POSITION_BYTES, LAYOUT)
    stored: list[np.ndarray] = []
    beginnings: set[bytes] = set()
    for _ in range(60):
        rows = prompt(rng)
        assert found(cache, rows) == max((in_common(rows, other) for other in stored), default=0)
        if rng.random() < 0.7:
            cache.store(rows, reader(rows))
            stored.append(rows)
            beginnings |= {rows[: end + 1].tobytes() for end in range(len(rows))}
            assert found(cache, rows) == len(rows)
        assert cache.nbytes == len(beginnings) * COST, "a beginning that prompts share is held once"


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("capacity", [1, 7, 30])
def test_however_little_memory_there_is_it_is_enough_and_what_is_found_is_right(seed: int, capacity: int) -> None:
    rng = random.Random(seed)
    cache = PrefixCache(capacity * COST + 1, POSITION_BYTES, LAYOUT)
    for _ in range(200):
        rows = prompt(rng)
        found(cache, rows)
        cache.store(rows, reader(rows))
        assert cache.nbytes <= capacity * COST
        assert found(cache, rows) == min(len(rows), capacity), "the newest is there, or as much of it as fits"


def test_only_what_is_not_kept_yet_is_copied() -> None:
    cache = PrefixCache(PLENTY, POSITION_BYTES, LAYOUT)
    rows = position_rows([TextSegment(np.arange(40))], LAYOUT)
    copied: list[tuple[int, int]] = []

    def read(start: int, stop: int) -> torch.Tensor:
        copied.append((start, stop))
        return reader(rows)(start, stop)

    for length in (10, 25, 10, 25, 40):
        cache.store(rows[:length], read)
    assert copied == [(0, 10), (10, 25), (25, 40)]


def test_a_text_token_is_no_code_of_the_same_number_and_every_codebook_counts() -> None:
    text = position_rows([TextSegment(np.array([3, 3]))], LAYOUT)
    audio = position_rows([AudioSegment(np.array([[3, 0], [3, 0]]))], LAYOUT)
    other = position_rows([AudioSegment(np.array([[3, 0], [3, 1]]))], LAYOUT)
    cache = PrefixCache(PLENTY, POSITION_BYTES, LAYOUT)
    cache.store(audio, reader(audio))
    assert found(cache, text) == 0
    assert found(cache, other) == 1


def test_what_is_asked_for_stays_and_what_nobody_asks_for_goes_first() -> None:
    def speech(number: int) -> np.ndarray:
        voice = TextSegment(np.arange(20))
        return position_rows([voice, TextSegment(np.full(10, 1000 + number))], LAYOUT)

    other = position_rows([TextSegment(np.full(20, 7))], LAYOUT)
    cache = PrefixCache(60 * COST, POSITION_BYTES, LAYOUT)
    cache.store(other, reader(other))
    for number in range(30):
        cache.store(speech(number), reader(speech(number)))
        assert found(cache, speech(number + 1)) == 20, "the voice is shared by all of them"
    assert found(cache, other) == 0
    assert [number for number in range(30) if found(cache, speech(number)) == 30] == [26, 27, 28, 29]


def test_without_memory_nothing_is_kept_and_clearing_forgets() -> None:
    rows = prompt(random.Random(0))
    none = PrefixCache(0, POSITION_BYTES, LAYOUT)
    none.store(rows, reader(rows))
    assert (none.known(rows), none.nbytes, none.lookup(rows)) == (0, 0, [])
    cache = PrefixCache(PLENTY, POSITION_BYTES, LAYOUT)
    cache.store(rows, reader(rows))
    cache.clear()
    assert (cache.known(rows), cache.nbytes) == (0, 0)
