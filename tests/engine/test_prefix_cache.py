"""The tree of kept pieces, without a model: each position's values are a number that its whole beginning decides."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable

import numpy as np
import pytest
import torch

from runtime.engine.inflight.pieces import Piece, pieces
from runtime.engine.inflight.prefix_cache import PrefixCache
from runtime.engine.types import AudioSegment, Segment, TextSegment

LONGEST = 4
POSITION_BYTES = 2 * 3 * 4  # two tensors of three heads with one float32 each
PLENTY = 2**20

Prompt = tuple[Piece, ...]


def values_of(prompt: Prompt) -> torch.Tensor:
    """What a model would have for these pieces, one number each: float32 [2, 3, positions, 1]."""
    before = 0
    numbers: list[float] = []
    for piece in prompt:
        before = zlib.crc32(piece.key, before)
        numbers += [float(before % 2**20)] * len(piece.segment)
    return torch.tensor(numbers).expand(2, 3, -1)[..., None]


def cost(prompt: Prompt) -> int:
    return sum(len(piece.segment) * POSITION_BYTES + len(piece.key) for piece in prompt)


def reader(prompt: Prompt) -> Callable[[int, int], torch.Tensor]:
    return lambda start, stop: values_of(prompt)[:, :, start:stop].clone()


def found(cache: PrefixCache, prompt: Prompt) -> int:
    """How many pieces are kept; fails unless their values are right."""
    kept = cache.lookup(prompt)
    known = cache.known(prompt)
    assert known == (prompt[len(kept) - 1].stop if kept else 0)
    if kept:
        assert torch.equal(torch.cat(kept, dim=2), values_of(prompt)[:, :, :known])
    return len(kept)


def random_prompt(rng: random.Random) -> Prompt:
    """Few different tokens and codes, so that prompts often begin alike for some way."""
    segments: list[Segment] = []
    for _ in range(rng.randint(1, 4)):
        count = rng.randint(1, 6)
        if rng.random() < 0.5:
            segments.append(TextSegment(np.array([rng.choice((0, 0, 0, 1)) for _ in range(count)])))
        else:
            segments.append(AudioSegment(np.array([[0, rng.choice((0, 0, 0, 1))] for _ in range(count)])))
    return pieces(segments, LONGEST)


def keys(prompt: Prompt) -> tuple[bytes, ...]:
    return tuple(piece.key for piece in prompt)


def in_common(first: Prompt, second: Prompt) -> int:
    both = list(zip(keys(first), keys(second), strict=False))
    return next((i for i, (a, b) in enumerate(both) if a != b), len(both))


@pytest.mark.parametrize("seed", range(20))
def test_as_much_is_found_as_any_stored_prompt_has_in_common_and_it_is_held_once(seed: int) -> None:
    rng = random.Random(seed)
    cache = PrefixCache(PLENTY, POSITION_BYTES)
    stored: list[Prompt] = []
    beginnings: dict[tuple[bytes, ...], int] = {}
    for _ in range(60):
        prompt = random_prompt(rng)
        assert found(cache, prompt) == max((in_common(prompt, other) for other in stored), default=0)
        if rng.random() < 0.7:
            cache.store(prompt, reader(prompt))
            stored.append(prompt)
            beginnings |= {keys(prompt)[: end + 1]: cost(prompt[end : end + 1]) for end in range(len(prompt))}
            assert found(cache, prompt) == len(prompt)
        assert cache.nbytes == sum(beginnings.values()), "a beginning that prompts share is held once"


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("positions", [1, 7, 30])
def test_however_little_memory_there_is_it_is_enough_and_what_is_found_is_right(seed: int, positions: int) -> None:
    rng = random.Random(seed)
    capacity = positions * (POSITION_BYTES + 12)
    cache = PrefixCache(capacity, POSITION_BYTES)
    for _ in range(200):
        prompt = random_prompt(rng)
        found(cache, prompt)
        cache.store(prompt, reader(prompt))
        assert cache.nbytes <= capacity
        fitting = max(count for count in range(len(prompt) + 1) if cost(prompt[:count]) <= capacity)
        assert found(cache, prompt) == fitting, "the newest is there, or as many of its pieces as fit"


def test_only_what_is_not_kept_yet_is_copied() -> None:
    cache = PrefixCache(PLENTY, POSITION_BYTES)
    prompt = pieces([TextSegment(np.arange(40))], 5)
    copied: list[tuple[int, int]] = []

    def read(start: int, stop: int) -> torch.Tensor:
        copied.append((start, stop))
        return reader(prompt)(start, stop)

    for count in (1, 3, 1, 3, 4):
        cache.store(prompt[:count], read)
    assert copied == [(0, 5), (5, 10), (10, 15), (15, 20)]


def test_a_piece_that_was_cut_short_by_its_prompts_end_is_not_taken_for_the_beginning_of_a_longer_one() -> None:
    cache = PrefixCache(PLENTY, POSITION_BYTES)
    short, long = (pieces([TextSegment(np.arange(count))], LONGEST) for count in (6, 7))
    cache.store(short, reader(short))
    assert found(cache, long) == 1, "the first four positions; the next two were read in a call of two, not of three"
    followed = pieces([TextSegment(np.arange(6)), AudioSegment(np.ones((3, 2)))], LONGEST)
    assert found(cache, followed) == 2, "where the modality changes the call ends in any case"


def test_what_is_asked_for_stays_and_what_nobody_asks_for_goes_first() -> None:
    def speech(number: int) -> Prompt:
        return pieces([AudioSegment(np.ones((20, 2))), TextSegment(np.full(3, 1000 + number))], LONGEST)

    other = pieces([TextSegment(np.full(20, 7))], LONGEST)
    cache = PrefixCache(cost(speech(0)) + 3 * cost(speech(0)[-1:]), POSITION_BYTES)
    cache.store(other, reader(other))
    for number in range(30):
        cache.store(speech(number), reader(speech(number)))
        assert found(cache, speech(number + 1)) == 5, "the voice is shared by all of them"
    assert found(cache, other) == 0
    assert [number for number in range(30) if found(cache, speech(number)) == 6] == [26, 27, 28, 29]


def test_without_memory_nothing_is_kept_and_clearing_forgets() -> None:
    prompt = random_prompt(random.Random(0))
    none = PrefixCache(0, POSITION_BYTES)
    none.store(prompt, reader(prompt))
    assert (none.known(prompt), none.nbytes, none.lookup(prompt)) == (0, 0, [])
    cache = PrefixCache(PLENTY, POSITION_BYTES)
    cache.store(prompt, reader(prompt))
    cache.clear()
    assert (cache.known(prompt), cache.nbytes) == (0, 0)
