"""Short notes between the models of one server, past Triton, in which data moves one way only.

`codec_decoder` tells `lm` how much of each stream has left, and whose client is gone; `lm` tells `codec_encoder` which
requests were given up before they reached it. They travel through named pipes in the server's folder
(`run_folder.py`); without one, and when a pipe is full, notes are lost, and the receiver does without.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass

from runtime.triton.run_folder import run_folder

_MOST_BYTES = 4096  # of a note: a pipe takes so much whole or not at all

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Note:
    """About one stream. `frame`: all before it has left for the client. `gone`: its client does not listen any more."""

    stream: str
    frame: int = 0
    gone: bool = False


class NoteSender:
    """Sends notes to the model `receiver`; never waits. Safe to use from any thread."""

    def __init__(self, receiver: str) -> None:
        directory = run_folder()
        self._path = directory / f"{receiver}.notes" if directory else None
        self._pipe: int | None = None
        self._lock = threading.Lock()

    def send(self, note: Note) -> None:
        """Send a note, or lose it when nobody reads."""
        line = json.dumps(asdict(note)).encode() + b"\n"
        if self._path is None or len(line) > _MOST_BYTES:
            return
        with self._lock, contextlib.suppress(OSError):
            if self._pipe is None:
                self._pipe = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
            os.write(self._pipe, line)


class NoteReceiver:
    """Passes each note to `take`, on a thread of its own."""

    def __init__(self, receiver: str, take: Callable[[Note], None]) -> None:
        directory = run_folder()
        self.connected = directory is not None
        self._take, self._closing = take, False
        self._thread: threading.Thread | None = None
        if directory is None:
            return
        path = directory / f"{receiver}.notes"
        with contextlib.suppress(FileExistsError):  # from before this model was loaded again
            os.mkfifo(path, 0o600)
        self._pipe = os.open(path, os.O_RDWR)  # also for writing, so that it does not end with its last writer
        self._thread = threading.Thread(target=self._run, name="notes", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        if self._thread is not None:
            self._closing = True
            os.write(self._pipe, b"\n")
            self._thread.join()
            os.close(self._pipe)

    def _run(self) -> None:
        begun = b""
        while not self._closing:
            *lines, begun = (begun + os.read(self._pipe, 2**16)).split(b"\n")
            for line in filter(None, lines):
                try:
                    self._take(Note(**json.loads(line)))
                except Exception:  # the next note must still be read
                    logger.exception("a note could not be taken")
