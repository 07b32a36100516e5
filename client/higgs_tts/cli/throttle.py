"""How many streams of a batch may run at once on a server, learnt from its refusals, and how long to wait after one."""

import random

# Seconds before the first retry, doubled for each further one.
BACK_OFF = 0.5
MAX_BACK_OFF = 30.0


class Throttle:
    """At most `streams` at once; fewer after the server refused one for overload, slowly more after successes.

    The limit falls to what ran besides the refused stream, and grows by one for each round of successes. Its owner
    keeps threads apart.
    """

    def __init__(self, streams: int) -> None:
        self._streams = streams
        self._limit = float(streams)
        self._running = 0

    @property
    def room(self) -> int:
        """How many more streams may run now."""
        return int(self._limit) - self._running

    def start(self) -> None:
        """Note that a stream begins."""
        self._running += 1

    def end(self) -> None:
        """Note that a stream has ended."""
        self._running -= 1

    def refused(self) -> bool:
        """Note that the server refused a stream, still running: True if other streams of this batch fill the server."""
        self._limit = max(1.0, min(self._limit, self._running - 1))
        return self._running > 1

    def succeeded(self) -> None:
        """Note that a stream was spoken to its end."""
        self._limit = min(float(self._streams), self._limit + 1 / self._limit)


def back_off(failures: int) -> float:
    """Seconds to wait after so many failures in a row, shortened at random so that retries do not coincide."""
    return min(MAX_BACK_OFF, BACK_OFF * 2.0 ** min(failures - 1, 30)) * random.uniform(0.5, 1.0)
