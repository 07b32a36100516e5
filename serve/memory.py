"""Whether the machine's memory, or a container's, has room for a second server."""

from __future__ import annotations

import re
from pathlib import Path

import psutil

_SPARE = 0.2  # of all: past it the models refuse long requests (HIGGS_MEMORY)
_GROUP = Path("/sys/fs/cgroup")


def has_room(needed: int, group: Path = _GROUP) -> bool:
    """Whether so many bytes can be taken, and enough be left."""
    machine = psutil.virtual_memory()
    bounds = [(machine.total, machine.available)]
    try:
        most = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        cached = re.search(r"^file (\d+)$", (group / "memory.stat").read_text(), re.MULTILINE)
        bounds.append((most, most - used + int(cached[1] if cached else 0)))
    except (OSError, ValueError):  # no such bound
        pass
    return all(free - needed > _SPARE * total for total, free in bounds)
