"""Fair batching of windows: one of each waiting stream at a time, decoded together; answers keep a stream's order.

The language model may be far ahead of the codec, and the codec of the listeners. So the streams that nobody has heard
yet come first, then those whose listeners have least left to hear: a short request's first window waits for one batch,
whatever long ones have queued. Nobody waits for ever: what is decoded of a stream puts it behind all that have run dry.

Triton has its own batcher, but in 2.51 it fails the windows of a vanished client with an error while the language
model is still sending. Such an ensemble request is never counted as finished: the server then cannot stop cleanly, and
each such client leaks memory.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

logger = logging.getLogger(__name__)

_REMEMBERED = 60.0  # seconds that a stream of which nothing waits is known after its listener has heard all

Decode = Callable[[np.ndarray], np.ndarray]
Ticket = TypeVar("Ticket")


@dataclass(frozen=True, eq=False)
class _Waiting(Generic[Ticket]):
    """A window of a stream. `codes`: int32 [num_codebooks, frames], None when nobody wants its samples any more."""

    ticket: Ticket
    codes: np.ndarray | None
    seconds: float = 0.0


class WindowBatcher(Generic[Ticket]):
    """A queue for each stream and the thread that empties them.

    Args:
        decode: codes int32 [batch, num_codebooks, frames] to samples float32 [batch, samples].
        answer: called with a request's ticket and its samples float32 [samples], or the error, or None for a window
            that was not decoded because its stream is over.
        max_batch: the most windows decoded in one call.
    """

    def __init__(
        self, decode: Decode, answer: Callable[[Ticket, np.ndarray | Exception | None], None], max_batch: int
    ) -> None:
        self._decode, self._answer, self._max_batch = decode, answer, max_batch
        self._waiting: dict[str, deque[_Waiting[Ticket]]] = {}
        self._dry: dict[str, float] = {}  # when each stream's listener will have heard all that was decoded of it
        self._deadlines: dict[str, float] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="codec", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Windows that wait, of all streams."""
        with self._changed:
            return sum(map(len, self._waiting.values()))

    def put(
        self,
        stream: str,
        ticket: Ticket,
        codes: np.ndarray | None,
        deadline: float = math.inf,
        seconds: float = 0.0,
    ) -> None:
        """Queue one window of a stream, int32 [num_codebooks, frames]; a window without frames has no samples.

        deadline: on the clock of time.monotonic(); what still waits of the stream then is answered undecoded, ahead of
        others. Codes None give the stream up: all that waits of it is answered at once, undecoded. seconds: how long
        its listener hears the window.
        """
        with self._changed:
            self._waiting.setdefault(stream, deque()).append(_Waiting(ticket, codes, seconds))
            self._deadlines[stream] = -math.inf if codes is None else deadline
            self._changed.notify()

    def close(self) -> None:
        """Answer what is queued, then stop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if not self._waiting:
                    return
                batch = self._next_batch()
            self._serve(batch)

    def _next_batch(self) -> list[_Waiting[Ticket]]:
        """All windows of streams that are over; without any, the oldest of each of the most urgent streams."""
        now = time.monotonic()
        if over := [stream for stream, deadline in self._deadlines.items() if now >= deadline]:
            dropped = [_Waiting(one.ticket, None) for stream in over for one in self._waiting[stream]]
            for stream in over:
                self._dry.pop(stream, None)
                del self._waiting[stream], self._deadlines[stream]
            return dropped
        batch = []
        for stream in sorted(self._waiting, key=lambda name: self._dry.get(name, -math.inf))[: self._max_batch]:
            queue = self._waiting[stream]
            batch.append(queue.popleft())
            self._dry[stream] = max(now, self._dry.get(stream, now)) + batch[-1].seconds
            if not queue:
                del self._waiting[stream], self._deadlines[stream]
        since = now - _REMEMBERED
        self._dry = {stream: dry for stream, dry in self._dry.items() if stream in self._waiting or dry > since}
        return batch

    def _serve(self, batch: list[_Waiting[Ticket]]) -> None:
        """Decode windows of equal length together, and each alone when that fails; no failure affects the others."""
        by_length: dict[int, list[int]] = defaultdict(list)
        results: list[np.ndarray | Exception | None] = [None] * len(batch)
        for index, one in enumerate(batch):
            if one.codes is not None and one.codes.shape[-1] == 0:
                results[index] = np.empty(0, np.float32)
            elif one.codes is not None:
                by_length[one.codes.shape[-1]].append(index)
        for indices in by_length.values():
            codes = [window for index in indices if (window := batch[index].codes) is not None]
            for index, row in zip(indices, self._decoded(codes), strict=True):
                results[index] = row
        for one, result in zip(batch, results, strict=True):
            try:
                self._answer(one.ticket, result)
            except Exception:  # one answer that cannot be delivered must not silence the others
                logger.exception("an answer could not be delivered")

    def _decoded(self, windows: list[np.ndarray]) -> Sequence[np.ndarray | Exception]:
        """The samples of windows of one length, or what hinders them."""
        try:
            return list(self._decode(np.stack(windows)))
        except Exception as error:
            if len(windows) == 1:
                return [error]
        # Not before the error is gone, whose traceback holds what the failed call had taken.
        return [result for window in windows for result in self._decoded([window])]
