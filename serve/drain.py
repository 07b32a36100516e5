"""Emptying a server before it is stopped: running streams finish, new ones are refused, and it is not ready any more.

Triton does all that when its way in is unloaded: the ensemble. What Triton itself does on a signal would refuse the
next window of a running stream too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from serve.access import Access
from serve.repository_api import FAILURES, ask

DRAIN_SECONDS = 30.0
_ENSEMBLE = "higgs_audio_v2"
_LOOK_SECONDS = 0.25


def drain(access: Access, seconds: float, ailing: Callable[[], object]) -> bool:
    """Wait until the last stream has ended; False when some are left after so many seconds, or something ails."""
    deadline = time.monotonic() + seconds
    try:
        if not _is_up(access):
            return True
        ask(access, f"models/{_ENSEMBLE}/unload")
        while _is_up(access):
            if time.monotonic() > deadline or ailing():
                return False
            time.sleep(_LOOK_SECONDS)
    except FAILURES:  # it does not answer, so nobody is served
        return False
    return True


def _is_up(access: Access) -> bool:
    """Whether the ensemble takes requests or still answers some."""
    models = json.loads(ask(access, "index"))
    return any(model["name"] == _ENSEMBLE and model.get("state") in ("READY", "UNLOADING") for model in models)
