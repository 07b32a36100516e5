"""The regions of shared memory through which Triton and its model processes talk: a run's own, and what dead ones left.

A server that is killed leaves its regions in /dev/shm, and they are readable by every user of the machine. Each run
therefore gives its regions a name of its own, beside a file that stays locked for as long as any of its processes
lives, wherever that is (containers may share /dev/shm and not see each other's processes).
"""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path

FOLDER = Path("/dev/shm")
_PREFIX, _LOCK = "higgs-tts-", ".lock"


class SharedMemory:
    """The regions of one run; `lock` is for its processes to inherit, and -1 where there is no /dev/shm."""

    def __init__(self) -> None:
        self.name = f"{_PREFIX}{secrets.token_hex(8)}"
        self.lock = -1
        with suppress(OSError):
            self.lock = os.open(FOLDER / (self.name + _LOCK), os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self.lock, fcntl.LOCK_EX)

    @property
    def argument(self) -> str:
        """What tells Triton's Python backend how to name its regions."""
        return f"--backend-config=python,shm-region-prefix-name={self.name}-"

    def make_private(self) -> None:
        """Take the regions from the machine's other users. Triton makes them readable for all, whatever the umask."""
        for region in FOLDER.glob(f"{self.name}-*"):
            with suppress(OSError):
                region.chmod(0o600)

    def remove(self) -> None:
        """Remove what the processes, which have ended, left behind."""
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1
        _remove(self.name)


def sweep() -> None:
    """Remove the regions of runs of which no process lives any more."""
    for file in FOLDER.glob(f"{_PREFIX}*{_LOCK}"):
        with suppress(OSError), file.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(file.name.removesuffix(_LOCK))


def _remove(name: str) -> None:
    for file in FOLDER.glob(f"{name}*"):
        with suppress(OSError):
            file.unlink()
