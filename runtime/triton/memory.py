"""How much of the memory that a model may use is in use, and what follows: less is kept, and less is begun.

The tightest bound counts: the machine's memory, that of the control group (a container's limit), or the address space
of the process (`ulimit -v`). Memory that the kernel can take back at once, such as cached files, is not in use.

Operators set the two thresholds in HIGGS_MEMORY as `WARNING:CRITICAL`, shares of what there is. With 1:1 only what does
not fit at all is refused.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from runtime.formats.errors import MemoryExhaustionError

MEMORY_VARIABLE, DEFAULT = "HIGGS_MEMORY", "0.8:0.9"
RETRY_SECONDS = 5
LONG_FRAMES = 1000
_GROUPS, _OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


@dataclass(frozen=True)
class _Files:
    """What a control group's files are called: of version 2, and of version 1, which has a tree for memory alone."""

    tree: Path
    limit: str
    used: str
    cached: tuple[str, ...]


_VERSION_2 = _Files(Path(), "memory.max", "memory.current", ("inactive_file", "active_file"))
_VERSION_1 = _Files(
    Path("memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")
)


class Memory:
    """The memory of this process, and its thresholds. Raises ValueError when HIGGS_MEMORY is not two valid shares."""

    def __init__(self, groups: Path = _GROUPS, own_groups: Path = _OWN_GROUPS) -> None:
        self._warning, self._critical = _thresholds(os.environ.get(MEMORY_VARIABLE) or DEFAULT)
        self._process, self._groups = psutil.Process(), list(_limited_groups(groups, own_groups))
        self._promised: dict[str, int] = {}  # bytes that streams which have begun will still take

    def used(self, more: int = 0) -> float:
        """The share in use of the tightest bound; more: bytes that will be used too."""
        machine = psutil.virtual_memory()
        bounds = [(machine.total - machine.available + more, machine.total)]
        bounds += [(used + more, limit) for group in self._groups for used, limit in _group_used(*group)]
        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            bounds.append((self._process.memory_info().vms, limit))  # what will be used has its addresses already
        return max(used / limit for used, limit in bounds)

    def is_short(self) -> bool:
        """Whether the first threshold is passed: caches shrink, and nothing long is begun."""
        return self.used() >= self._warning

    def promise(self, stream: str, nbytes: int) -> None:
        """A stream that has begun will still take so many bytes, for which `check` leaves room; 0 takes that back."""
        if nbytes > 0:
            self._promised[stream] = nbytes
        else:
            self._promised.pop(stream, None)

    def check(self, frames: float = 0, nbytes: int = 0) -> None:
        """Raise MemoryExhaustionError unless speech of so many frames, which takes so many bytes, may be begun now."""
        used = self.used(nbytes + sum(list(self._promised.values())))
        if used >= self._critical or (used >= self._warning and frames > LONG_FRAMES):
            what = "nothing" if used >= self._critical else f"nothing of more than {LONG_FRAMES} frames"
            needed = f"with the {nbytes / 2**20:.0f} MiB that it needs, and what others still take"
            state = f"would be in use {needed}" if nbytes else "is in use"
            raise MemoryExhaustionError(
                f"{used:.0%} of the memory {state}, so {what} is begun; try again in {RETRY_SECONDS} s"
            )


def _thresholds(written: str) -> tuple[float, float]:
    try:
        warning, critical = map(float, written.split(":"))
    except ValueError:
        warning = critical = 0.0
    if not 0 < warning <= critical <= 1:
        raise ValueError(f"{MEMORY_VARIABLE} is {written!r}; give two shares, such as {DEFAULT}")
    return warning, critical


def _limited_groups(groups: Path, own_groups: Path) -> Iterator[tuple[Path, _Files]]:
    """The folders of the groups that this process is in and that have a limit, with those around them."""
    lines = own_groups.read_text().splitlines() if own_groups.is_file() else []
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number != "0" and "memory" not in controllers.split(","):
            continue
        files = _VERSION_2 if number == "0" else _VERSION_1
        root = groups / files.tree
        own = root / path.lstrip("/")
        for folder in (own, *own.parents):
            with suppress(OSError, ValueError):
                if int((folder / files.limit).read_text()) < psutil.virtual_memory().total:
                    yield folder, files
            if folder == root:
                break


def _group_used(folder: Path, files: _Files) -> Iterator[tuple[int, int]]:
    """Bytes in use, and the most there may be; nothing once the group or its limit is gone."""
    with suppress(OSError, ValueError, KeyError):
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        cached = sum(int(stat[name]) for name in files.cached)
        yield int((folder / files.used).read_text()) - cached, int((folder / files.limit).read_text())
