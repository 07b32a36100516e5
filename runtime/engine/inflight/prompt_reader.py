"""Reads prompts into slots; a beginning shared with earlier prompts is copied instead of read."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from runtime.engine.code_stream import CodeStream
from runtime.engine.contract import Listener, ModelRunner
from runtime.engine.inflight.pieces import Piece
from runtime.engine.inflight.prefix_cache import PrefixCache
from runtime.engine.inflight.scheduler import Sequence
from runtime.engine.types import Request

logger = logging.getLogger(__name__)


@dataclass(eq=False, kw_only=True)
class Stream(Sequence):
    """A sequence with what the model side needs. `begun`: its slot holds what `prefilled` says."""

    request: Request
    codes: CodeStream
    on_event: Listener
    pieces: tuple[Piece, ...] = field(repr=False)
    begun: bool = False

    @property
    def positions(self) -> int:
        """Cache positions in use; the newest column is not in the cache yet."""
        return self.prefilled + len(self.codes.columns) - 1


class PromptReader:
    """Fills slots through a runner and keeps what it read, in at most `max_bytes`."""

    def __init__(self, runner: ModelRunner, max_bytes: int) -> None:
        self._runner = runner
        self._kept = PrefixCache(max_bytes, runner.position_bytes)

    @property
    def kept_bytes(self) -> int:
        """Bytes of keys and values kept for later prompts."""
        return self._kept.nbytes

    def known(self, stream: Stream) -> int:
        """How many positions of a stream's prompt need not be read."""
        return self._kept.known(stream.pieces)

    def read(self, stream: Stream, count: int) -> int:
        """Read the next `count` positions of a prompt; returns how many were copied before the first was read."""
        assert stream.slot is not None
        stop = stream.prefilled + count
        copied = 0 if stream.begun else self._begin(stream, stream.slot)
        for piece in stream.pieces:
            if stream.prefilled <= piece.start < stop:
                self._runner.prefill(stream.slot, piece.start, piece.segment)
                stream.prefilled = piece.stop
        self._keep(stream, stream.slot)
        return copied

    def forget(self) -> None:
        """Forget everything that was kept."""
        self._kept.clear()

    def _begin(self, stream: Stream, slot: int) -> int:
        """Put into a stream's slot what is kept of its prompt by now: perhaps not what it was scheduled with."""
        stream.prefilled = 0
        for values in self._kept.lookup(stream.pieces):
            self._runner.write(slot, stream.prefilled, values)
            stream.prefilled += values.shape[2]
        stream.begun = True
        return stream.prefilled

    def _keep(self, stream: Stream, slot: int) -> None:
        """Keep what a stream has read for prompts that begin alike; what cannot be kept will be read again.

        Never what it speaks: a decode step rounds otherwise than a call that reads the same columns, and what a stream
        says must not depend on which of the two its prompt's keys and values come from.
        """
        read = [piece for piece in stream.pieces if piece.stop <= stream.prefilled]
        try:
            self._kept.store(read, lambda start, stop: self._runner.read(slot, start, stop))
        except Exception:
            logger.exception("the keys and values of request %s could not be kept", stream.request_id)
