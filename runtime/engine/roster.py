"""Tracks each stream on its way through an executor that is not ours: waiting, in the executor, over."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, Protocol, TypeVar

from runtime.engine.admission import admit, timed_out
from runtime.engine.statistics import Statistics
from runtime.engine.types import EngineStats, FinishReason, Limits, Pace, Request
from runtime.formats.errors import GenerationTimeoutError, RequestError


class RosterStream(Protocol):
    """What the roster knows of a stream. `deadline` on the clock of time.monotonic(); `place`: -1 while it waits."""

    key: int
    request: Request
    deadline: float
    place: int
    over: bool


StreamT = TypeVar("StreamT", bound=RosterStream)


class Roster(Generic[StreamT]):
    """Every stream from its admission until the executor has let it go, and the places that streams hold in it.

    `lock` guards all of it: hold it around every call. It is notified when a place is taken or freed.
    """

    def __init__(self, limits: Limits) -> None:
        self.lock = threading.Condition()
        self.closing = False
        self.broken: RequestError | None = None  # why no request can be served any more
        self.named: dict[str, StreamT] = {}  # not over yet, by request id
        self.in_executor: dict[int, StreamT] = {}  # by key, until the final response: over or not
        self.statistics = Statistics()
        self.pace = Pace()  # who begins later
        self._limits = limits
        self._waiting: deque[StreamT] = deque()
        self._free_places = list(range(limits.max_streams))

    def admit(self, stream: StreamT) -> None:
        """Queue a stream: behind all, or, if it continues speech being heard, behind the others that do.

        Raises like `admit`.
        """
        if self.broken is not None:
            raise self.broken
        queue, pace = (len(self.in_executor), len(self._waiting)), self.statistics.seconds_per_stream
        admit(stream.request, self.named, *queue, self._limits, pace, self.closing)
        continues = stream.request.continues
        ahead = sum(other.request.continues for other in self._waiting) if continues else len(self._waiting)
        self._waiting.insert(ahead, stream)
        self.named[stream.request.request_id] = stream

    def next(self) -> StreamT | None:
        """The next stream, with a place assigned; None when no stream waits or no place is free."""
        if not self._free_places or (stream := self._first()) is None:
            return None
        self._waiting.remove(stream)
        stream.place = self._free_places.pop()
        self.statistics.begin(stream.request, stream.deadline)
        self.statistics.busy(True)
        self.in_executor[stream.key] = stream
        self.lock.notify_all()
        return stream

    def has_next(self) -> bool:
        """Whether `next` would return a stream."""
        return bool(self._free_places) and self._first() is not None

    def next_deadline(self, now: float) -> float | None:
        """Seconds until the first deadline passes, at least 0; None without a stream."""
        return min((max(0.0, stream.deadline - now) for stream in self.named.values()), default=None)

    def _first(self) -> StreamT | None:
        """Whose turn it is to get a place."""
        hurried = (one for one in self._waiting if not self.pace.may_wait(one.request.request_id))
        going = any(not self.pace.may_wait(one.request.request_id) for one in self.in_executor.values())
        patient = (one for one in self._waiting if not going and one.request.request_id not in self.pace.resting)
        return next(hurried, None) or next(patient, None)

    def vacate(self, stream: StreamT) -> None:
        """Free the place of a stream that has left the executor."""
        del self.in_executor[stream.key]
        self._free_places.append(stream.place)
        self.statistics.busy(bool(self.in_executor))
        self.lock.notify_all()

    def end(self, stream: StreamT, how: FinishReason | RequestError) -> bool:
        """Remove a stream from the roster and count how it ended; False when it was removed already.

        From then on no more of its codes are wanted.
        """
        stream.over = True
        if self.named.get(stream.request.request_id) is not stream:
            return False
        del self.named[stream.request.request_id]
        if stream in self._waiting:
            self._waiting.remove(stream)
        if isinstance(how, RequestError):
            self.statistics.fail(how)
        elif how is FinishReason.CANCELLED:
            self.statistics.cancelled += 1
        else:
            self.statistics.finish(how)
        return True

    def late(self, now: float) -> list[tuple[StreamT, GenerationTimeoutError]]:
        """The streams whose deadline has passed, with what to tell their listeners."""
        return [
            (stream, timed_out(waited=stream in self._waiting))
            for stream in self.named.values()
            if now >= stream.deadline
        ]

    def stats(self) -> EngineStats:
        """A snapshot. The executor's own cache keeps keys and values for later prompts; they are not counted."""
        return self.statistics.snapshot(len(self.in_executor), len(self._waiting), 0, 0)


class RosterEngine(Generic[StreamT]):
    """What every `SpeechEngine` over somebody else's executor, which takes its memory at the start, answers alike."""

    _roster: Roster[StreamT]

    @property
    def broken(self) -> RequestError | None:
        """As `SpeechEngine.broken`."""
        return self._roster.broken

    def free_caches(self) -> None:
        """Like `SpeechEngine.free_caches`, but there is nothing to give back."""

    def stream_bytes(self, positions: int) -> int:
        """As `SpeechEngine.stream_bytes`."""
        return 0

    def stats(self) -> EngineStats:
        """Like `SpeechEngine.stats`. A stream is live while it holds a place."""
        with self._roster.lock:
            return self._roster.stats()
