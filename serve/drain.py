"""Emptying a server before it is stopped: running streams finish, new ones are refused, and it is not ready any more.

Triton does all that when its way in is unloaded: the ensemble. What Triton itself does on a signal would refuse the
next window of a running stream too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from serve.access import Access
from serve.repository_api import FAILURES, ask, connect

DRAIN_SECONDS = 30.0
_ENSEMBLE = "higgs_audio_v2"
_LOOK_SECONDS = 0.25


class Drain:
    """A server to be emptied, over one connection from now on: a newer server may soon share its ports.

    Raises one of FAILURES where it does not answer. ailing: tells whether anything is wrong with it.
    """

    def __init__(self, access: Access, ailing: Callable[[], object]) -> None:
        self._access, self._ailing = access, ailing
        self._connection = connect(access)
        self._earliest = self._deadline = 0.0
        self.emptied = not self._is_up()

    def begin(self, seconds: float, least: float = 0.0) -> None:
        """Let nobody in any more. least: seconds in which it still answers whoever has just come."""
        self._earliest, self._deadline = time.monotonic() + least, time.monotonic() + seconds
        if not self.emptied:
            ask(self._access, f"models/{_ENSEMBLE}/unload", connection=self._connection)

    def is_over(self) -> bool:
        """Whether the last stream has ended (`emptied`), the seconds are over, or something ails."""
        try:
            self.emptied = not self._is_up()
        except FAILURES:  # it does not answer, so nobody is served
            return True
        if time.monotonic() < self._earliest:
            return False
        return self.emptied or time.monotonic() > self._deadline or bool(self._ailing())

    def _is_up(self) -> bool:
        """Whether the ensemble takes requests or still answers some."""
        models = json.loads(ask(self._access, "index", connection=self._connection))
        return any(model["name"] == _ENSEMBLE and model.get("state") in ("READY", "UNLOADING") for model in models)


def drain(access: Access, seconds: float, ailing: Callable[[], object]) -> bool:
    """Wait until the last stream has ended; False when some are left after so many seconds, or something ails."""
    try:
        draining = Drain(access, ailing)
        draining.begin(seconds)
    except FAILURES:
        return False
    while not draining.is_over():
        time.sleep(_LOOK_SECONDS)
    return draining.emptied
