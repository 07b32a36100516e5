"""Short notes between the models of one server, past Triton, in which data moves one way only.

`codec_decoder` tells `lm` how much of each stream has left, and whose client is gone; `lm` tells `codec_encoder` which
requests were given up before they reached it; both tell `prompt` which streams take no more text. They travel
through named pipes (`pipes.py`); without a folder for them, and when a pipe is full, notes are lost, and the receiver
does without.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass

from runtime.triton.pipes import LineReader, pipe


@dataclass(frozen=True)
class Note:
    """About one stream. `frame`: all before it has left for the client. `gone`: its client does not listen any more."""

    stream: str
    frame: int = 0
    gone: bool = False


class NoteSender:
    """Sends notes to the model `receiver`; never waits. Safe to use from any thread."""

    def __init__(self, receiver: str) -> None:
        self._path = pipe(f"{receiver}.notes")
        self._pipe: int | None = None
        self._lock = threading.Lock()

    def send(self, note: Note) -> None:
        """Send a note, or lose it when nobody reads."""
        line = json.dumps(asdict(note)).encode() + b"\n"
        if self._path is None or len(line) > select.PIPE_BUF:  # a pipe takes so much whole or not at all
            return
        with self._lock, contextlib.suppress(OSError):
            if self._pipe is None:
                self._pipe = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
            os.write(self._pipe, line)


class NoteReceiver(LineReader):
    """Passes each note to `take`, on a thread of its own."""

    def __init__(self, receiver: str, take: Callable[[Note], None]) -> None:
        super().__init__(f"{receiver}.notes", lambda line: take(Note(**json.loads(line))))
