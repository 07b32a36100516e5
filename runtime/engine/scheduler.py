"""In-flight batching: who waits, who is being prefilled, who decodes, and in which slot. Plain Python, no model.

Slots are dense: the n decoding sequences hold slots 0..n-1 and the one being prefilled holds slot n, so that a decode
step is one call over the first n slots. When a sequence leaves, the last one moves into its place.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from runtime.formats.errors import GenerationTimeoutError, OverloadedError


@dataclass
class Sequence:
    """A request's place in the engine. Lengths in positions; `deadline` in seconds of the caller's clock.

    `pauses`: behind how many positions of the prompt reading may pause, ascending; the last is its length.
    """

    request_id: str
    pauses: tuple[int, ...]
    deadline: float
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


@dataclass(frozen=True)
class Prefill:
    """Read `count` prompt positions of a sequence, starting with its `sequence.prefilled`-th."""

    sequence: Sequence
    count: int


@dataclass(frozen=True)
class Move:
    """Carry a slot's contents (`positions` of a prompt, or everything when None) to another slot."""

    source: int
    target: int
    sequence: Sequence


@dataclass(frozen=True)
class Step:
    """One turn of the engine: prefill pieces first, then one decode step for `decode`, in slot order."""

    prefills: tuple[Prefill, ...]
    decode: tuple[Sequence, ...]


@dataclass
class Scheduler:
    """Decides each step. Not thread-safe: the engine holds its lock around every call.

    Args:
        max_streams: slots.
        max_waiting: requests that may wait for a slot; one more is refused.
        prefill_tokens_per_step: prompt positions read between two decode steps while streams are live, so that a
            long prompt delays running streams by a bounded time. Nobody to delay: the whole prompt at once. No two
            pauses of a sequence may be further apart.
        known: of a sequence that gets its slot, how many prompt positions need not be read.
    """

    max_streams: int
    max_waiting: int
    prefill_tokens_per_step: int
    known: Callable[[Sequence], int] = lambda sequence: 0
    waiting: deque[Sequence] = field(default_factory=deque)
    prefilling: Sequence | None = None
    decoding: list[Sequence] = field(default_factory=list)

    @property
    def live(self) -> int:
        """Occupied slots."""
        return len(self.decoding) + (self.prefilling is not None)

    @property
    def idle(self) -> bool:
        """Nothing to do until the next submission."""
        return not (self.waiting or self.live)

    def submit(self, sequence: Sequence, continues: bool = False) -> None:
        """Let a sequence wait for its turn; one that continues what is being heard is the next.

        Raises OverloadedError when the queue is full.
        """
        if continues:
            self.waiting.appendleft(sequence)
            return
        free_slots = self.max_streams - self.live
        if len(self.waiting) >= self.max_waiting + free_slots:
            raise OverloadedError(
                f"{self.live} streams are live and {len(self.waiting)} requests wait, which is the limit; "
                "try again later"
            )
        self.waiting.append(sequence)

    def sequences(self) -> list[Sequence]:
        """Every sequence in the engine."""
        prefilling = [self.prefilling] if self.prefilling else []
        return [*self.decoding, *prefilling, *self.waiting]

    def expired(self, now: float) -> list[tuple[Sequence, GenerationTimeoutError]]:
        """Sequences whose deadline has passed, with what to tell their owners."""
        return [
            (sequence, GenerationTimeoutError(self._timeout_sentence(sequence)))
            for sequence in self.sequences()
            if now >= sequence.deadline
        ]

    def schedule(self) -> Step:
        """The next step; admits waiting sequences and finishes prefills as the budget allows."""
        budget = self.prefill_tokens_per_step
        prefills: list[Prefill] = []
        decode = list(self.decoding)
        while budget > 0 and self._admit():
            sequence = self.prefilling
            assert sequence is not None
            remaining = sequence.prompt_length - sequence.prefilled
            count = sequence.readable(budget) if decode else remaining
            if count == 0 < remaining:
                break  # the next piece is longer than what is left of the budget
            prefills.append(Prefill(sequence, count))
            budget -= count
            if count < remaining:
                break
            self.prefilling = None
            self.decoding.append(sequence)
            decode.append(sequence)
        return Step(tuple(prefills), tuple(decode))

    def release(self, sequence: Sequence) -> list[Move]:
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
        """Raise AssertionError unless slots are dense and nobody holds two places."""
        slots = [sequence.slot for sequence in self.sequences() if sequence.slot is not None]
        assert slots == list(range(self.live)), f"slots {slots} of {self.live} live sequences are not dense"
        assert self.live <= self.max_streams, f"{self.live} sequences in {self.max_streams} slots"

    def _admit(self) -> bool:
        if self.prefilling is None and self.waiting and self.live < self.max_streams:
            self.prefilling = self.waiting.popleft()
            self.prefilling.slot = len(self.decoding)
            self.prefilling.prefilled = self.known(self.prefilling)
        return self.prefilling is not None

    def _move(self, sequence: Sequence, target: int) -> Move:
        assert sequence.slot is not None
        move = Move(sequence.slot, target, sequence)
        sequence.slot = target
        return move

    def _timeout_sentence(self, sequence: Sequence) -> str:
        if sequence.slot is None:
            return "the request's time limit passed while it waited for a free stream"
        return "the request's time limit passed before its speech was complete"
