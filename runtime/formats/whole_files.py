"""Files that several processes share: written atomically, by one writer at a time.

A file being written has a hidden name; the owner of the folder removes what a killed writer left. Whatever else lies
under a file's name, such as a pipe that nobody writes to, is an error and holds nobody up.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_LOOK_SECONDS = 0.01


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


def read_file(path: Path) -> bytes:
    """What a file holds. Raises OSError, also for what is no file."""
    with open_file(path, os.O_RDONLY) as file:
        return file.read()


def open_file(path: Path, flags: int) -> IO[bytes]:
    """An open file, made if the flags say so. Raises OSError, also for what is no file."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)  # a pipe's opening waits for its other end
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    return open(descriptor, "wb" if flags & os.O_WRONLY else "rb")


@contextmanager
def locked(path: Path, wait: float) -> Iterator[None]:
    """Hold an exclusive lock on this file; the lock is released when the process ends, however it ends.

    Raises BlockingIOError when another process holds it for longer than `wait` seconds, OSError when it cannot be had.
    """
    until = time.monotonic() + wait
    with open_file(path, os.O_WRONLY | os.O_CREAT) as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise BlockingIOError(errno.EWOULDBLOCK, f"another process holds {path.name}") from None
                time.sleep(_LOOK_SECONDS)
        yield
