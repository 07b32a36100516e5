"""The interfaces within the language-model stage: what every engine offers its caller, and what our own engine needs
from a model.

Threads. `submit`, `cancel`, `stats` and `close` may be called from any thread. A request's events come in order, from
one thread of the engine, which may hold the engine's lock: a listener may call the engine, but must not wait for
another thread that does. A runner is called by one thread only, and never with the lock held except for `move`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

import torch

from runtime.engine.types import CodebookLayout, EngineStats, FrameWindow, Pace, Request, Segment
from runtime.formats.errors import RequestError

Event = FrameWindow | RequestError
Listener = Callable[[Event], None]
EVERY_ROW = slice(None)

logger = logging.getLogger(__name__)


class SpeechEngine(Protocol):
    """Prompts in, windows of codec frames out, many streams at once."""

    @property
    def broken(self) -> RequestError | None:
        """Why this process will never speak again, as after some failures of a GPU; None while it may."""
        ...

    def submit(self, request: Request, on_event: Listener) -> None:
        """Queue a request. Its events: windows, the last of which has a finish reason, or one error as the last event.

        Raises:
            InvalidRequestError: its id is taken, or its prompt leaves no room to speak or does not fit the engine.
            OverloadedError: the queue is full.
            ModelLoadingError: the engine is stopping.
        """
        ...

    def cancel(self, request_id: str) -> bool:
        """End a request before the next step or the one after; its last event says `cancelled`.

        False when it is not here.
        """
        ...

    def pace(self, pace: Pace) -> None:
        """Which requests need not be spoken on from the next step on; replaces what an earlier call said.

        Says nothing of what is spoken. An engine that cannot hold a stream still only lets others begin before it.
        """
        ...

    def free_caches(self) -> None:
        """Give back, before the next step, the memory of what can be made again and of what no stream needs."""
        ...

    def stream_bytes(self, positions: int) -> int:
        """Bytes of this machine's memory that one more stream of so many positions takes at most."""
        ...

    def stats(self) -> EngineStats:
        """A snapshot of the current state and the totals since the start."""
        ...

    def close(self) -> None:
        """Cancel everything and stop the engine's threads."""
        ...


class ModelRunner(Protocol):
    """A model as `inflight.Engine` uses it: a cache of keys and values for each slot, and the calls that fill it."""

    @property
    def layout(self) -> CodebookLayout:
        """How the model lays out a column of codes."""
        ...

    @property
    def device(self) -> torch.device:
        """The device that holds columns and logits."""
        ...

    @property
    def position_bytes(self) -> int:
        """Bytes that the keys and values of one position take."""
        ...

    def prefill(self, slot: int, position: int, segment: Segment) -> int:
        """Read prompt positions into a slot's cache from `position` on; returns how many."""
        ...

    def decode(self, columns: torch.Tensor, positions: list[int], rows: slice = EVERY_ROW) -> torch.Tensor:
        """One step for those of the streams in slots 0..n-1 that `rows` names; for others nothing changes.

        columns: int64 [n, num_codebooks], each stream's newest column; positions: where each goes in its cache.
        Returns float32 [rows, num_codebooks, codebook_size], valid until the next call.
        """
        ...

    def move(self, source: int, target: int, positions: int) -> None:
        """Copy the first `positions` of one slot's cache to another slot."""
        ...

    def release(self, first: int) -> None:
        """Slots from `first` on hold no stream: their memory may be given back until they are written again."""
        ...

    def read(self, slot: int, start: int, stop: int) -> torch.Tensor:
        """A copy of a slot's keys and values, each layer's keys before its values.

        Returns [2 * num_layers, num_kv_heads, stop - start, head_dim].
        """
        ...

    def write(self, slot: int, start: int, values: torch.Tensor) -> None:
        """Write what `read` returned, or the beginning of it, into a slot from position `start` on."""
        ...


def tell(request_id: str, on_event: Listener, event: Event) -> None:
    """Pass an event to its listener; one listener's failure must not end other streams."""
    try:
        on_event(event)
    except Exception:
        logger.exception("the listener of request %s failed", request_id)
