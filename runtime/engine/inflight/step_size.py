"""A step of the model for fewer streams at a time, for a while, after one that lacked memory."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from runtime.formats.errors import is_out_of_memory

SMALLER_SECONDS = 30.0


class StepSize:
    """How many streams one call of the model may have: all of them at first, half as many after a call that lacked
    memory, twice as many after each quiet `SMALLER_SECONDS`.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._size, self._until = most, 0.0

    def run(self, call: Callable[[list[int]], torch.Tensor], slots: list[int]) -> torch.Tensor:
        """What `call` returns for these slots, joined, in as many calls as memory makes necessary.

        A call that raises must have changed nothing. What lacks memory for one slot, too, is raised.
        """
        size = self._now()
        if len(slots) > size:
            return torch.cat([self.run(call, slots[:size]).clone(), self.run(call, slots[size:])])
        try:
            return call(slots)
        except Exception as error:
            if len(slots) == 1 or not is_out_of_memory(error):
                self._size = self._most  # smaller steps would not help
                raise
        self._set(len(slots) // 2)
        return self.run(call, slots)

    def _now(self) -> int:
        if self._size < self._most and self._clock() >= self._until:
            self._set(min(self._most, 2 * self._size))
        return self._size

    def _set(self, size: int) -> None:
        self._size, self._until = size, self._clock() + SMALLER_SECONDS
