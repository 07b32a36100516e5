"""Files that several processes share: written whole or not at all, one writer at a time.

A file under way has a hidden name; what a killed writer left is swept by whoever looks after the folder.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a file, which has its name and is on the disk when the block ends; an error leaves nothing behind."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as stream:
        try:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            os.chmod(stream.name, 0o644)
            os.replace(stream.name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(stream.name)
            raise


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Alone among the processes that lock this file; the lock falls with the process, however it ends.

    Raises BlockingIOError where another has it and it is not to be waited for, OSError where it cannot be locked.
    """
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
