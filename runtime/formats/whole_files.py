"""Files that several processes share: written atomically, by one writer at a time.

A file being written has a hidden name; the owner of the folder removes what a killed writer left.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that is on the disk under its name when the block ends; an error leaves nothing behind.

    Who may read it follows the process's umask: in Triton, which the launcher starts with 077, its user alone.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}")
    with temporary.open("xb") as stream:
        try:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold an exclusive lock on this file; the lock is released when the process ends, however it ends.

    Raises BlockingIOError when another process holds it and `wait` is false, OSError when it cannot be locked.
    """
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
