"""Fair batching of windows: one of each waiting stream at a time, decoded together; answers keep a stream's order.

The language model may be far ahead of the codec. First come first served, a short request's first window would then
wait for all that long ones have queued; served in turn, it waits for one batch.

Triton has its own batcher, but in 2.51 it fails the windows of a vanished client with an error while the language
model is still sending. Such an ensemble request is never counted as finished: the server then cannot stop cleanly, and
each such client leaks memory.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

logger = logging.getLogger(__name__)

Decode = Callable[[np.ndarray], np.ndarray]
Ticket = TypeVar("Ticket")


class WindowBatcher(Generic[Ticket]):
    """A queue for each stream and the thread that empties them.

    Args:
        decode: codes int32 [batch, num_codebooks, frames] to samples float32 [batch, samples].
        answer: called with a request's ticket and its samples float32 [samples], or the error.
        max_batch: the most windows decoded in one call.
    """

    def __init__(
        self, decode: Decode, answer: Callable[[Ticket, np.ndarray | Exception], None], max_batch: int
    ) -> None:
        self._decode, self._answer, self._max_batch = decode, answer, max_batch
        self._waiting: dict[str, deque[tuple[Ticket, np.ndarray]]] = {}
        self._served: dict[str, int] = {}  # frames of each stream since its queue was last empty
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="codec", daemon=True)
        self._thread.start()

    def put(self, stream: str, ticket: Ticket, codes: np.ndarray) -> None:
        """Queue one window of a stream, int32 [num_codebooks, frames]; a window without frames has no samples."""
        with self._changed:
            self._waiting.setdefault(stream, deque()).append((ticket, codes))
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

    def _next_batch(self) -> list[tuple[Ticket, np.ndarray]]:
        """The oldest window of each of the streams that were served least."""
        batch = []
        for stream in sorted(self._waiting, key=lambda name: self._served.get(name, 0))[: self._max_batch]:
            queue = self._waiting[stream]
            batch.append(queue.popleft())
            self._served[stream] = self._served.get(stream, 0) + batch[-1][1].shape[-1]
            if not queue:
                del self._waiting[stream], self._served[stream]
        return batch

    def _serve(self, batch: list[tuple[Ticket, np.ndarray]]) -> None:
        """Decode windows of equal length together; one length's failure does not affect the others."""
        by_length: dict[int, list[int]] = defaultdict(list)
        for index, (_, codes) in enumerate(batch):
            by_length[codes.shape[-1]].append(index)
        results: list[np.ndarray | Exception] = [np.empty(0, np.float32)] * len(batch)
        by_length.pop(0, None)
        for indices in by_length.values():
            try:
                rows = self._decode(np.stack([batch[index][1] for index in indices]))
                for index, row in zip(indices, rows, strict=True):
                    results[index] = row
            except Exception as error:
                for index in indices:
                    results[index] = error
        for (ticket, _), result in zip(batch, results, strict=True):
            try:
                self._answer(ticket, result)
            except Exception:  # one answer that cannot be delivered must not silence the others
                logger.exception("an answer could not be delivered")
