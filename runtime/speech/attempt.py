"""One attempt at a part of a stream."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from runtime.engine.types import FrameWindow

_BITS = 63  # of a seed


@dataclass
class Attempt:
    """The windows not sent yet, and all codes so far."""

    number: int
    held: list[FrameWindow] = field(default_factory=list)
    codes: list[np.ndarray] = field(default_factory=list)  # int32 [num_codebooks, frames] each
    released: int = 0  # frames sent

    @property
    def frames(self) -> int:
        """How many were spoken."""
        return sum(codes.shape[1] for codes in self.codes)


def part_seed(seed: int, part: int, attempt: int) -> int:
    """The seed of one attempt at one part: the request's own for the first, a different one for each of the others."""
    if part == attempt == 0:
        return seed
    digest = hashlib.blake2b(f"{seed} {part} {attempt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> (64 - _BITS)
