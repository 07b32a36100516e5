"""A folder for one run of Triton, under a name that needs no quoting.

Triton starts a model's process through a shell, without quoting the paths of the model and the backend, and the
process handles only ASCII paths reliably. Links from this folder lead to everything that lies elsewhere.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from serve.errors import LaunchError

_PLAIN = re.compile(r"[A-Za-z0-9/._+@%,=-]+")
RUN_VARIABLE = "HIGGS_RUN_DIR"  # tells the models which folder it is
PLACES = ("/tmp", "/var/tmp", "/dev/shm")
_LEAST_BYTES = 16 * 2**20  # the process that runs models takes a few


def make_scratch(places: Iterable[str] | None = None) -> Path:
    """A new folder in the first usable place: TMPDIR if possible, else one of the system's temporary folders.

    Raises LaunchError that says why each place is unusable.
    """
    hindrances = []
    for place in dict.fromkeys(places or (os.environ.get("TMPDIR") or PLACES[0], *PLACES)):
        hindrance = _hindrance(place)
        if hindrance is None:
            try:
                return Path(tempfile.mkdtemp(prefix="triton-", dir=os.path.realpath(place)))
            except OSError as error:
                hindrance = str(error.strerror)
        hindrances.append(f"{place} ({hindrance})")
    raise LaunchError(f"no temporary folder will do: {', '.join(hindrances)}; name another with TMPDIR")


def _hindrance(place: str) -> str | None:
    """Why models cannot be started from there; None when they can."""
    if not _PLAIN.fullmatch(os.path.realpath(place)):
        return "its name would need quoting"
    try:
        system = os.statvfs(place)
    except OSError as error:
        return str(error.strerror)
    if system.f_flag & os.ST_NOEXEC:
        return "nothing may be executed there"
    if system.f_bavail * system.f_frsize < _LEAST_BYTES or (system.f_files and not system.f_favail):
        return "it is full"
    return None
