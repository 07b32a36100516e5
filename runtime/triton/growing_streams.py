"""The streams of this process whose text comes in pieces: `prompt` sends what these say, past Triton."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from runtime.formats.errors import OverloadedError
from runtime.formats.more_parts import MoreParts
from runtime.speech.growing_stream import GrowingStream
from runtime.triton.growing_texts import PARTS
from runtime.triton.pipes import LineReader

_MOST_EARLY = 4096  # parts that overtook their stream: its clips are still encoded, or it was refused


class GrowingStreams:
    """Safe to use from any thread. most: how many there may be."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._streams: dict[str, GrowingStream] = {}
        self._early: OrderedDict[int, MoreParts] = OrderedDict()
        self._count = 0
        self._lock = threading.Lock()
        self._pipe = LineReader(PARTS, self._take)

    def begins(self, name: str, stream: GrowingStream) -> None:
        """A stream takes more text from now on. Raises OverloadedError when there are too many."""
        with self._lock:
            if len(self._streams) >= self._most:
                raise OverloadedError(f"{self._most} streams whose text comes in pieces are open already")
            self._streams[name] = stream
            for number in [number for number, more in self._early.items() if more.stream == name]:
                stream.extend(self._early.pop(number))

    def ends(self, name: str) -> bool:
        """It takes none any more; whether it did."""
        with self._lock:
            return self._streams.pop(name, None) is not None

    def look(self) -> int:
        """End those that have waited too long; returns how many wait for text."""
        with self._lock:
            streams, now = list(self._streams.values()), time.monotonic()
        return sum(stream.look(now) for stream in streams)

    def close(self) -> None:
        """Take no more parts."""
        self._pipe.close()

    def _take(self, line: bytes) -> None:
        more = MoreParts.read(line)
        with self._lock:
            if stream := self._streams.get(more.stream):
                stream.extend(more)
                return
            self._count += 1
            self._early[self._count] = more
            while len(self._early) > _MOST_EARLY:
                self._early.popitem(last=False)
