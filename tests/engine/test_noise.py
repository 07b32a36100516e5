"""The noise is a fixed function of seed, counter and code: the same in every release, batch and engine."""

from __future__ import annotations

import random

import torch

from runtime.engine import noise

_GOLDEN, _64_BITS = 0x9E3779B97F4A7C15, 2**64 - 1


def mixed(value: int) -> int:
    """SplitMix64's finaliser, on unsigned numbers."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _64_BITS
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _64_BITS
    return value ^ value >> 31


def plain(seed: int, counter: int, token: int) -> float:
    """The noise of one key, in Python's integers."""
    key = mixed(mixed((seed + 1) * _GOLDEN & _64_BITS) + counter * _GOLDEN & _64_BITS)
    return ((mixed(key + (token + 1) * _GOLDEN & _64_BITS) >> 41) + 0.5) / 2**23


def test_each_number_is_what_splitmix64_makes_of_its_key() -> None:
    some = random.Random(0)
    seeds = [0, 1, 2**63 - 1, *(some.randrange(2**63) for _ in range(5))]
    counters = [[some.randrange(2**41) for _ in range(4)] for _ in seeds]
    tokens = torch.tensor([0, 1, 513, 1025])
    found = noise.uniform(noise.stream_key(torch.tensor(seeds)[:, None]), torch.tensor(counters), tokens)
    expected = [
        [[plain(s, c, t) for t in tokens.tolist()] for c in row] for s, row in zip(seeds, counters, strict=True)
    ]
    assert found.tolist() == expected
    assert found.min() > 0 and found.max() < 1
