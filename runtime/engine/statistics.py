"""Counts what an engine did."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from runtime.engine.types import SECONDS, EngineStats, FinishReason, Request, Tally
from runtime.formats.errors import RequestError


@dataclass
class Statistics:
    """Totals since the start. Not thread-safe: the engine holds its lock around every call."""

    steps: int = 0
    frames: int = 0
    finished: int = 0
    runaway: int = 0
    cancelled: int = 0
    refused: int = 0
    prefix_positions_reused: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    queued: Tally = field(default_factory=lambda: Tally.of(SECONDS))
    _busy_seconds: float = 0.0
    _busy_since: float | None = None

    def busy(self, busy: bool) -> None:
        """Record that work begins now, or that none is left."""
        now = time.monotonic()
        if self._busy_since is not None:
            self._busy_seconds += now - self._busy_since
        self._busy_since = now if busy else None

    @property
    def seconds_per_stream(self) -> float:
        """How often, while there is work, a stream ends."""
        self.busy(self._busy_since is not None)
        return self._busy_seconds / max(1, self.finished + self.cancelled + self.failed.total())

    def begin(self, request: Request, deadline: float) -> None:
        """Count what a request waited that gets a stream now; one that continues a speech did not queue for one."""
        if not request.continues:
            self.queued = self.queued.plus(max(0.0, time.monotonic() - (deadline - request.timeout)))

    def finish(self, reason: FinishReason) -> None:
        """Count a stream that ended on its own, or that its guard ended."""
        self.finished += 1
        self.runaway += reason is FinishReason.RUNAWAY

    def fail(self, error: RequestError) -> None:
        """Count a failed stream under its error's class."""
        self.failed[type(error).__name__] += 1

    def snapshot(
        self, live_streams: int, waiting_requests: int, resting_streams: int, prefix_cache_bytes: int
    ) -> EngineStats:
        """A snapshot of the totals and the current state."""
        self.busy(self._busy_since is not None)
        return EngineStats(
            live_streams=live_streams,
            waiting_requests=waiting_requests,
            resting_streams=resting_streams,
            steps=self.steps,
            frames=self.frames,
            busy_seconds=self._busy_seconds,
            finished=self.finished,
            runaway=self.runaway,
            cancelled=self.cancelled,
            refused=self.refused,
            failed=dict(self.failed),
            prefix_positions_reused=self.prefix_positions_reused,
            prefix_cache_bytes=prefix_cache_bytes,
            queued=self.queued,
        )
