"""Codes of reference clips: found in memory or on disk, else computed once by the encoder."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from runtime.voices.code_files import CodeFiles

MEMORY, DISK, ENCODER = "memory", "disk", "encoder"
_TOUCH_SECONDS = 60.0  # how often the use of a clip in memory is recorded on disk

logger = logging.getLogger(__name__)


@dataclass
class _Entry:
    codes: np.ndarray
    touched_at: float  # seconds on the clock of time.monotonic()


class CodeCache:
    """The cache of one codec. Safe for any number of threads, and over one folder for any number of processes.

    Args:
        max_entries: how many clips are kept in memory; the least recently used go.
        files: codes that outlive this process; None keeps codes in memory only.
        count: called for every clip with the source of its codes: MEMORY, DISK or ENCODER.
    """

    def __init__(self, max_entries: int, files: CodeFiles | None, count: Callable[[str], None]) -> None:
        self._max_entries, self._files, self._count = max_entries, files, count
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._underway: dict[str, Future[np.ndarray]] = {}
        self._lock = threading.Lock()

    def remembered(self, keys: Sequence[str]) -> list[np.ndarray] | None:
        """The clips' codes, int32 [num_codebooks, frames] each, if all are in memory; never waits."""
        now = time.monotonic()
        stale = []
        with self._lock:
            if not all(key in self._entries for key in keys):
                return None
            for key in keys:
                self._entries.move_to_end(key)
                if now - self._entries[key].touched_at > _TOUCH_SECONDS:
                    self._entries[key].touched_at = now
                    stale.append(key)
            codes = [self._entries[key].codes for key in keys]
        for key in stale:  # otherwise the disk would count a clip that every request brings as unused
            if self._files is not None:
                self._files.touch(key)
        for _ in keys:
            self._count(MEMORY)
        return codes

    def codes(self, key: str, encode: Callable[[], np.ndarray]) -> np.ndarray:
        """The clip's codes, from `encode` if they are not stored. Raises what `encode` raises, without caching it.

        Concurrent calls for the same clip wait for the one encoding.
        """
        known = self.remembered([key])
        if known is not None:
            return known[0]
        with self._lock:
            future = self._underway.get(key)
            if future is None:
                mine = self._underway[key] = Future()
        if future is not None:
            codes = future.result()
            self._count(MEMORY)
            return codes
        try:
            codes = self._found_or_made(key, encode)
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            self._remember(key, codes)
            mine.set_result(codes)
            return codes
        finally:
            with self._lock:
                del self._underway[key]

    def _found_or_made(self, key: str, encode: Callable[[], np.ndarray]) -> np.ndarray:
        if self._files is None:
            self._count(ENCODER)
            return encode()
        codes = self._files.load(key)
        if codes is None:
            with self._files.claimed(key):
                codes = self._files.load(key)  # another process may have stored them
                if codes is None:
                    self._count(ENCODER)
                    return self._kept(key, encode())
        self._count(DISK)
        return codes

    def _kept(self, key: str, codes: np.ndarray) -> np.ndarray:
        assert self._files is not None
        try:
            self._files.store(key, codes)
        except OSError as error:  # speech is worth more than the cache
            logger.warning("the codes of a reference clip are kept in memory only: %s", error)
        return codes

    def _remember(self, key: str, codes: np.ndarray) -> None:
        with self._lock:
            self._entries[key] = _Entry(codes, time.monotonic())
            while len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)
