"""Dynamic batching of windows: waiting windows are decoded together, and answers leave in the order of the requests.

Triton has its own batcher, but in 2.51 it fails the windows of a vanished client with an error while the language
model is still sending. Such an ensemble request is never counted as finished: the server then cannot stop cleanly, and
each such client leaks memory.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

import numpy as np

logger = logging.getLogger(__name__)

Decode = Callable[[np.ndarray], np.ndarray]
Ticket = TypeVar("Ticket")


class WindowBatcher(Generic[Ticket]):
    """A queue and the thread that empties it.

    Args:
        decode: codes int32 [batch, num_codebooks, frames] to samples float32 [batch, samples].
        answer: called with a request's ticket and its samples float32 [samples], or the error.
        max_batch: the most windows decoded in one call.
    """

    def __init__(
        self, decode: Decode, answer: Callable[[Ticket, np.ndarray | Exception], None], max_batch: int
    ) -> None:
        self._decode, self._answer, self._max_batch = decode, answer, max_batch
        self._waiting: SimpleQueue[tuple[Ticket, np.ndarray] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="codec", daemon=True)
        self._thread.start()

    def put(self, ticket: Ticket, codes: np.ndarray) -> None:
        """Queue one window, int32 [num_codebooks, frames]; a window without frames has no samples."""
        self._waiting.put((ticket, codes))

    def close(self) -> None:
        """Answer what is queued, then stop."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        closing = False
        while not closing:
            batch = [self._waiting.get()]
            while batch[-1] is not None and len(batch) < self._max_batch:
                try:
                    batch.append(self._waiting.get_nowait())
                except Empty:
                    break
            closing = batch[-1] is None
            self._serve([window for window in batch if window is not None])

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
