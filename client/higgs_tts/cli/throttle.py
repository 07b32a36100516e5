"""How many streams of a batch may run at once, learnt from the server's refusals."""

import threading


class Throttle:
    """At most `streams` at once; fewer after the server refused one for overload, slowly more after successes.

    The limit falls to what ran besides the refused stream, and grows by one for each round of successes.
    """

    def __init__(self, streams: int) -> None:
        self._streams = streams
        self._limit = float(streams)
        self._running = 0
        self._stopped = False
        self._changed = threading.Condition()

    def acquire(self) -> bool:
        """Wait for room for a stream; False once stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._running < int(self._limit))
            if self._stopped:
                return False
            self._running += 1
            return True

    def release(self) -> None:
        """Note that a stream has ended."""
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def refused(self) -> bool:
        """Note that the server refused an acquired stream: True if other streams of this batch fill the server."""
        with self._changed:
            self._limit = max(1.0, min(self._limit, self._running - 1))
            return self._running > 1

    def succeeded(self) -> None:
        """Note that an acquired stream was spoken to its end."""
        with self._changed:
            self._limit = min(float(self._streams), self._limit + 1 / self._limit)
            self._changed.notify_all()

    def stop(self) -> None:
        """Wake every waiting thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
