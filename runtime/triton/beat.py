"""A model's sign of life: when it last made progress, or had nothing to do. Its launcher replaces one that hangs.

Each model has a file MODEL.beat in the server's folder (`run_folder.py`) with that time, seconds of the machine's
monotonic clock as a little-endian double. Without a folder nobody looks, and nothing is written.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Callable

from runtime.triton.run_folder import run_folder

BEAT_SECONDS = 0.5


class Work:
    """Counts what a model has in hand. `with work:` around a piece of it, or begin() and end() on any threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_hand = 0
        self._moved = 0.0

    def begin(self) -> None:
        with self._lock:
            if not self._in_hand:
                self._moved = time.monotonic()
            self._in_hand += 1

    def end(self) -> None:
        with self._lock:
            self._moved = time.monotonic()
            self._in_hand -= 1

    def last_progress(self) -> float:
        """When something was finished last, or begun after a rest; now, while nothing is in hand."""
        with self._lock:
            return self._moved if self._in_hand else time.monotonic()

    def __enter__(self) -> None:
        self.begin()

    def __exit__(self, *error: object) -> None:
        self.end()


def beat(model: str, last_progress: Callable[[], float]) -> None:
    """Tell the launcher from now on what `last_progress` returns.

    It may take the locks that the model's work takes: if it never returns, the sign of life stays away.
    """
    folder = run_folder()
    if folder:
        file = (folder / f"{model}.beat").open("wb", buffering=0)

        def tell() -> None:
            while True:
                os.pwrite(file.fileno(), struct.pack("<d", last_progress()), 0)
                time.sleep(BEAT_SECONDS)

        threading.Thread(target=tell, name="beat", daemon=True).start()
