"""Named pipes between the models of one server, in the server's folder (`run_folder.py`), for lines past Triton."""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from runtime.formats.errors import EngineError
from runtime.triton.run_folder import run_folder

_PATIENCE = 5.0  # seconds that a full pipe may stay full

logger = logging.getLogger(__name__)


def pipe(name: str) -> Path | None:
    """Where the pipe of that name is; None when the server has no folder."""
    folder = run_folder()
    return folder / name if folder else None


class LineWriter:
    """Writes lines of any length into a pipe into which nobody else writes. Safe to use from any thread."""

    def __init__(self, name: str) -> None:
        self._path = pipe(name)
        self._pipe: int | None = None
        self._lock = threading.Lock()

    @property
    def connected(self) -> bool:
        """Whether there is a pipe."""
        return self._path is not None

    def write(self, line: str) -> None:
        """Raises EngineError when nobody reads."""
        assert self._path is not None
        rest = memoryview(line.encode() + b"\n")
        with self._lock:
            try:
                if self._pipe is None:
                    self._pipe = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
                while rest:
                    if not select.select([], [self._pipe], [], _PATIENCE)[1]:
                        raise TimeoutError("nothing is read")
                    with suppress(BlockingIOError):
                        rest = rest[os.write(self._pipe, rest[: select.PIPE_BUF]) :]
            except OSError as error:
                raise EngineError(f"{self._path.name} takes nothing ({error})") from error


class LineReader:
    """Passes each line that comes through a pipe to `take`, on a thread of its own."""

    def __init__(self, name: str, take: Callable[[bytes], None]) -> None:
        path = pipe(name)
        self.connected = path is not None
        self._take, self._closing = take, False
        if path is None:
            return
        with suppress(FileExistsError):  # from before this model was loaded again
            os.mkfifo(path, 0o600)
        self._pipe = os.open(path, os.O_RDWR)  # also for writing, so that it does not end with its last writer
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        if self.connected:
            self._closing = True
            os.write(self._pipe, b"\n")
            self._thread.join()
            os.close(self._pipe)

    def _run(self) -> None:
        begun: list[bytes] = []
        while not self._closing:
            *lines, rest = os.read(self._pipe, 2**16).split(b"\n")
            if lines:
                lines[0], begun = b"".join([*begun, lines[0]]), []
            begun.append(rest)
            for line in filter(None, lines):
                try:
                    self._take(line)
                except Exception:  # the next line must still be read
                    logger.exception("a line of %s could not be taken", self._thread.name)
