"""Emptying a server before it is stopped: running streams finish, new ones are refused, and it is not ready any more.

Triton does all that when its way in is unloaded: the ensemble. What Triton itself does on a signal would refuse the
next window of a running stream too.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable

from serve.access import OPERATOR, Access

DRAIN_SECONDS = 30.0
_ENSEMBLE = "higgs_audio_v2"
_LOOK_SECONDS = 0.25


def drain(access: Access, seconds: float, ailing: Callable[[], object]) -> bool:
    """Wait until the last stream has ended; False when some are left after so many seconds, or something ails."""
    deadline = time.monotonic() + seconds
    try:
        if not _is_up(access):
            return True
        _ask(access, f"/v2/repository/models/{_ENSEMBLE}/unload")
        while _is_up(access):
            if time.monotonic() > deadline or ailing():
                return False
            time.sleep(_LOOK_SECONDS)
    except (OSError, http.client.HTTPException, ValueError):  # it does not answer, so nobody is served
        return False
    return True


def _is_up(access: Access) -> bool:
    """Whether the ensemble takes requests or still answers some."""
    models = json.loads(_ask(access, "/v2/repository/index"))
    return any(model["name"] == _ENSEMBLE and model.get("state") in ("READY", "UNLOADING") for model in models)


def _ask(access: Access, path: str) -> bytes:
    connection = http.client.HTTPConnection(access.url("http"), timeout=5)
    try:
        connection.request("POST", path, "", {OPERATOR: access.key})
        return connection.getresponse().read()
    finally:
        connection.close()
