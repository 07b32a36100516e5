"""Processes that end with whoever started them."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_GRACE_SECONDS = 3
# Waits for the end of the pipe that it reads from, which is the end of whoever holds the other side.
_GUARD = f'read _; kill -s TERM -- "-$1"; sleep {_GRACE_SECONDS}; kill -s KILL -- "-$1"'


def ending_with_its_starter() -> Callable[[], object]:
    """A `preexec_fn` for Popen that sends the process SIGTERM when the thread that started it ends.

    It makes one system call, resolved beforehand, so it is safe even in a process with threads.
    """
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Guard:
    """Sees to it that a process group ends with this process, however that ends: what does not go is killed.

    SIGTERM alone does not suffice: a Triton whose models hang waits for them for ever.
    """

    def __init__(self, group: int) -> None:
        reading, self._writing = os.pipe()
        self._shell = subprocess.Popen(
            ["sh", "-c", _GUARD, "guard", str(group)],
            stdin=reading,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # what ends us by our process group must not end it
        )
        os.close(reading)

    def dismiss(self) -> None:
        """The group has ended by itself."""
        self._shell.kill()
        self._shell.wait()
        os.close(self._writing)
