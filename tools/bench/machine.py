"""What this machine can do at best, measured: the floor that a figure stands beside."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

_TIMES = 7
_ROWS = 8192  # of a square matrix of 268 MB: more than any cache holds
_SIDE = 1536  # of square matrices whose product is bound by arithmetic


@dataclass(frozen=True)
class Machine:
    """Bytes read and float32 operations in a second, by so many threads."""

    threads: int
    bytes_per_second: float
    operations_per_second: float

    @classmethod
    def measured(cls, threads: int) -> Machine:
        """By a product of a large matrix with a vector, and one of two matrices; the best of several."""
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            large, vector = torch.ones(_ROWS, _ROWS), torch.ones(_ROWS)
            square = torch.ones(_SIDE, _SIDE)
            read, computed = _best(lambda: large @ vector), _best(lambda: square @ square)
        finally:
            torch.set_num_threads(before)
        return cls(threads, large.nbytes / read, 2 * _SIDE**3 / computed)

    def seconds(self, bytes_read: float, operations: float) -> float:
        """The least that it takes to read so many bytes, computing so much meanwhile."""
        return max(bytes_read / self.bytes_per_second, operations / self.operations_per_second)

    def __str__(self) -> str:
        return (
            f"{self.threads} threads read {self.bytes_per_second / 1e9:.1f} GB/s "
            f"and compute {self.operations_per_second / 1e9:.0f} GFLOP/s in float32"
        )


def _best(run: Callable[[], object]) -> float:
    """Seconds."""
    times = []
    for _ in range(_TIMES):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)
