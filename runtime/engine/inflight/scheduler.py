"""In-flight batching: who waits, who is being prefilled, who decodes, and in which slot. Plain Python, no model.

Slots are dense: the n decoding sequences hold slots 0..n-1 and the one being prefilled holds slot n, so that a decode
step is one call over the first n slots. When a sequence leaves, the last one moves into its place.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from runtime.engine.types import Pace


@dataclass(eq=False)
class Sequence:
    """A request's place in the engine. Lengths in positions; `deadline` in seconds of the caller's clock.

    `pauses`: the positions after which reading the prompt may pause, ascending; the last is the prompt's length.
    `continues`: it continues speech that is being heard.
    """

    request_id: str
    pauses: tuple[int, ...]
    deadline: float
    continues: bool = False
    prefilled: int = 0
    slot: int | None = None
    cancelled: bool = False

    @property
    def prompt_length(self) -> int:
        return self.pauses[-1] if self.pauses else 0

    @property
    def is_prefilled(self) -> bool:
        return self.prefilled >= self.prompt_length

    def readable(self, budget: int) -> int:
        """The most prompt positions that can be read next, of at most `budget`, before reading pauses."""
        index = bisect_right(self.pauses, self.prefilled + budget)
        return max(0, self.pauses[index - 1] - self.prefilled) if index else 0


SequenceT = TypeVar("SequenceT", bound=Sequence)
_LONGEST_BREATH = 8  # steps: also where no stream is spoken in real time, what is read must be read some time


def breath(reading: float, step: float, frame: float) -> int:
    """How many steps without reading make up for what was read: then as many frames are there as could be heard.

    All in seconds: what was read took `reading`, a decode step takes `step`, and a frame is heard for `frame`.
    """
    late, gained = reading + step - frame, frame - step
    if late <= 0:
        return 0
    return min(_LONGEST_BREATH, math.ceil(late / gained)) if gained > 0 else _LONGEST_BREATH


@dataclass(frozen=True)
class Prefill(Generic[SequenceT]):
    """Read `count` prompt positions of a sequence, starting with its `sequence.prefilled`-th."""

    sequence: SequenceT
    count: int


@dataclass(frozen=True)
class Move(Generic[SequenceT]):
    """Carry a sequence's contents from one slot to another."""

    source: int
    target: int
    sequence: SequenceT


@dataclass(frozen=True)
class Step(Generic[SequenceT]):
    """One step of the engine: prefill pieces first, then one decode step for `decode`, in slot order;
    other live sequences rest."""

    prefills: tuple[Prefill[SequenceT], ...]
    decode: tuple[SequenceT, ...]


@dataclass
class Scheduler(Generic[SequenceT]):
    """Decides each step. Not thread-safe: the engine holds its lock around every call.

    Args:
        max_streams: slots.
        prefill_tokens_per_step: prompt positions read between two decode steps while streams are live, so that a
            long prompt delays running streams by a bounded time. If no stream is live, the whole prompt is read at
            once. No two pauses of a sequence may be further apart.
        known: how many prompt positions of a sequence that gets its slot need not be read.
        pace: which sequences need not be stepped, or given a slot.
    """

    max_streams: int
    prefill_tokens_per_step: int
    known: Callable[[SequenceT], int] = lambda sequence: 0
    pace: Pace = field(default_factory=Pace)
    breath: int = 0  # steps in which nothing is read while a listener is in need
    waiting: deque[SequenceT] = field(default_factory=deque)
    prefilling: SequenceT | None = None
    decoding: list[SequenceT] = field(default_factory=list)

    @property
    def live(self) -> int:
        """Occupied slots."""
        return len(self.decoding) + (self.prefilling is not None)

    @property
    def idle(self) -> bool:
        """Nothing to do until the next submission, or until a resting sequence goes on."""
        return not (self._active() or self.prefilling or (self.live < self.max_streams and self._next()))

    @property
    def resting(self) -> int:
        """How many sequences hold a slot and are not stepped."""
        return len(self.decoding) - len(self._active())

    def submit(self, sequence: SequenceT) -> None:
        """Queue a sequence: behind all, or, if it continues speech being heard, behind the others that do."""
        ahead = sum(other.continues for other in self.waiting) if sequence.continues else len(self.waiting)
        self.waiting.insert(ahead, sequence)

    def sequences(self) -> list[SequenceT]:
        """Every sequence in the engine."""
        prefilling = [self.prefilling] if self.prefilling else []
        return [*self.decoding, *prefilling, *self.waiting]

    def expired(self, now: float) -> list[SequenceT]:
        """Sequences whose deadline has passed."""
        return [sequence for sequence in self.sequences() if now >= sequence.deadline]

    def schedule(self) -> Step[SequenceT]:
        """The next step; admits waiting sequences and finishes prefills as the budget allows."""
        budget = self.prefill_tokens_per_step
        prefills: list[Prefill[SequenceT]] = []
        decode = self._active()
        if decode and self.breath and self.pace.hurried:
            self.breath -= 1
            return Step((), tuple(decode))
        while budget > 0 and self._admit():
            sequence = self.prefilling
            assert sequence is not None
            remaining = sequence.prompt_length - sequence.prefilled
            count = sequence.readable(budget) if decode else remaining
            if count == 0 < remaining:
                break  # the next piece is longer than the rest of the budget
            prefills.append(Prefill(sequence, count))
            budget -= count
            if count < remaining:
                break
            self.prefilling = None
            self.decoding.append(sequence)
            decode.append(sequence)
        return Step(tuple(prefills), tuple(decode))

    def release(self, sequence: SequenceT) -> list[Move[SequenceT]]:
        """Take a sequence out, wherever it is; returns the moves that keep the slots dense, in order."""
        if sequence.slot is None:
            self.waiting = deque(other for other in self.waiting if other is not sequence)
            return []
        if sequence is self.prefilling:
            self.prefilling, sequence.slot = None, None
            return []
        moves = []
        last = self.decoding.pop()
        if last is not sequence:
            moves.append(self._move(last, sequence.slot))
            self.decoding[sequence.slot] = last
        if self.prefilling is not None:
            moves.append(self._move(self.prefilling, len(self.decoding)))
        sequence.slot = None
        return moves

    def check(self) -> None:
        """Raise AssertionError unless slots are dense and no sequence holds two."""
        slots = [sequence.slot for sequence in self.sequences() if sequence.slot is not None]
        assert slots == list(range(self.live)), f"slots {slots} of {self.live} live sequences are not dense"
        assert self.live <= self.max_streams, f"{self.live} sequences in {self.max_streams} slots"

    def _active(self) -> list[SequenceT]:
        """The decoding sequences that are stepped now."""
        awake = [one for one in self.decoding if one.request_id not in self.pace.resting]
        going = [one for one in awake if one.request_id not in self.pace.yielding]
        reading = self.prefilling is not None and not self.pace.may_wait(self.prefilling.request_id)
        return going if going or reading else awake

    def _next(self) -> SequenceT | None:
        """Whose turn it is to get a slot."""
        if not self.pace.resting and not self.pace.yielding:
            return self.waiting[0] if self.waiting else None
        going = any(not self.pace.may_wait(one.request_id) for one in self.decoding)
        hurried = (one for one in self.waiting if not self.pace.may_wait(one.request_id))
        patient = (one for one in self.waiting if not going and one.request_id not in self.pace.resting)
        return next(hurried, None) or next(patient, None)

    def _admit(self) -> bool:
        if self.prefilling is None and self.live < self.max_streams and (sequence := self._next()) is not None:
            self.waiting.remove(sequence)
            self.prefilling = sequence
            self.prefilling.slot = len(self.decoding)
            self.prefilling.prefilled = self.known(self.prefilling)
        return self.prefilling is not None

    def _move(self, sequence: SequenceT, target: int) -> Move[SequenceT]:
        assert sequence.slot is not None
        move = Move(sequence.slot, target, sequence)
        sequence.slot = target
        return move
