"""Counter-based uniform noise: a value depends only on its key, never on who shares the batch or on the step order.

SplitMix64's finaliser (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014) mixes the
key; int64 arithmetic wraps in torch, so the same integers come out on every device.
"""

from __future__ import annotations

import torch

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as int64


def number(value: int) -> torch.Tensor:
    """Without dimensions, and so for tensors of any device. A plain number takes torch as long to wrap as the operation
    takes, each time."""
    return torch.tensor(value, device="cpu")


_MIX_1 = number(-4658895280553007687)  # 0xBF58476D1CE4E5B9
_MIX_2 = number(-7723592293110705685)  # 0x94D049BB133111EB
_SHIFTS = {bits: (number(bits), number((1 << (64 - bits)) - 1)) for bits in (27, 30, 31, 41)}


def _shift_right(value: torch.Tensor, bits: int) -> torch.Tensor:
    """Logical shift: torch's own keeps the sign bit."""
    by, mask = _SHIFTS[bits]
    return torch.bitwise_right_shift(value, by).bitwise_and_(mask)


def _mix(value: torch.Tensor) -> torch.Tensor:
    value = _shift_right(value, 30).bitwise_xor_(value).mul_(_MIX_1)
    value = _shift_right(value, 27).bitwise_xor_(value).mul_(_MIX_2)
    return _shift_right(value, 31).bitwise_xor_(value)


def stream_key(seed: torch.Tensor) -> torch.Tensor:
    """What a seed puts into the key of all its noise, int64 as `seed`: mixed once a stream, not once a step."""
    return _mix(seed * _GOLDEN + _GOLDEN)


def uniform(stream: torch.Tensor, counter: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
    """Noise in the open interval (0, 1) for every key (stream, counter, token).

    stream: int64 of `stream_key`, counter: int64, broadcast against each other; token: int64, broadcast against them
    with one more axis at the end. Returns float32 of token's broadcast shape.
    """
    key = _mix(torch.add(stream, counter, alpha=_GOLDEN)).add_(_GOLDEN)
    bits = _shift_right(_mix(torch.add(key[..., None], token, alpha=_GOLDEN)), 41)
    return bits.add(0.5).mul_(2.0**-23)  # 23 bits: (bits + 0.5) is exact in float32
