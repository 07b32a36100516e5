"""How many streams one call of the model may step: fewer for a while after one that lacked memory."""

from __future__ import annotations

import time
from collections.abc import Callable

SMALLER_SECONDS = 30.0


class StepSize:
    """Starts with the most there can be, is halved by failures, and doubles after each quiet `SMALLER_SECONDS`."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._size, self._until = most, 0.0

    @property
    def size(self) -> int:
        """Streams that the next call may have."""
        if self._size < self._most and self._clock() >= self._until:
            self._set(min(self._most, 2 * self._size))
        return self._size

    def halve(self, streams: int) -> None:
        """A call for so many streams lacked memory."""
        self._set(max(1, streams // 2))

    def reset(self) -> None:
        """As large as ever from now on."""
        self._size = self._most

    def _set(self, size: int) -> None:
        self._size, self._until = size, self._clock() + SMALLER_SECONDS
