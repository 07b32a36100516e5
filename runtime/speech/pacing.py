"""Who may rest: streams with audio enough make room for those whose listeners wait.

The language model outruns the codec, and both outrun the listener. What is ahead costs nobody anything to make later,
while each stream in a step makes the step longer for all, and each window in the codec's queue takes the processor from
a first window. Nobody rests to no one's benefit: a stream alone is spoken as fast as the machine can, but for the
moment in which its first window is decoded, for which it leaves the machine to the codec.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.engine.types import Pace

# Seconds of audio. A stream that has more than FULL waiting at the codec rests until one that does has less than HALF;
# all rest and go on together, because a step for many costs less than many steps.
FULL, HALF = 6.0, 3.0
# A stream is in need with less than SHORT in store, in the codec's queue or at its listener; while one is, those rest
# that have PLENTY.
SHORT, PLENTY = 1.0, 2.5
# After so many seconds without word of it from the codec, all that left it heard, a stream neither rests nor yields
# until there is word again: a lost note must not end it, nor must it wait for ever where a client asked for codes only.
_SILENCE = 5.0
_FIRST = 0.1  # seconds that a stream alone waits for its first window to leave, and until the pace is next asked for
_FORGOTTEN = 120.0  # seconds without word of a stream that is no longer generated, after which there will be none
_PATIENCE = 1.0  # seconds for the first audio, and of silence that a listener may have heard before a stream is late


@dataclass
class _Progress:
    """Seconds of a stream's audio handed to the codec, and of those the ones that have left; when on the clock."""

    arrived: float
    sent: float = 0.0
    sent_at: float | None = None  # the first
    left: float = 0.0
    left_at: float | None = None
    heard_of: bool = True  # the codec says what has left
    heard_of_at: float = 0.0
    generating: bool = True
    waiting: bool = False  # for text
    full: bool = False

    @property
    def queued(self) -> float:
        return max(0.0, self.sent - self.left)

    def ahead(self, now: float) -> float:
        """How much of what has left the listener has not heard yet; negative after a silence."""
        return 0.0 if self.left_at is None else self.left - (now - self.left_at)

    def store(self, now: float) -> float:
        return self.queued + max(0.0, self.ahead(now))

    def awaits_first_sound(self, now: float) -> bool:
        """Whether its first window is at the codec."""
        if self.sent_at is None or self.left_at is not None or self.queued == 0:
            return False
        return now - self.sent_at < _FIRST

    def is_forgotten(self, now: float) -> bool:
        return now - self.heard_of_at > _FORGOTTEN and self.ahead(now) <= 0

    def is_unheard_of(self, now: float) -> bool:
        return self.queued > 0 and self.ahead(now) <= 0 and now - self.heard_of_at > _SILENCE


class Pacing:
    """The progress of every stream. Not thread-safe.

    Args:
        hears: whether `left` will be called; otherwise what is sent counts as having left.
    """

    def __init__(self, hears: bool = True) -> None:
        self._hears = hears
        self._streams: dict[str, _Progress] = {}

    def begins(self, stream: str, arrived: float = 0.0) -> None:
        """A stream is submitted whose request arrived then."""
        self._streams[stream] = _Progress(arrived)

    def sent(self, stream: str, seconds: float, now: float) -> float | None:
        """So much of a stream, from its beginning, was handed to the codec. Returns as `left`."""
        if progress := self._streams.get(stream):
            progress.sent = seconds
            if progress.sent_at is None:
                progress.sent_at = progress.heard_of_at = now
            if not self._hears:
                return self.left(stream, seconds, now)
        return None

    def left(self, stream: str, seconds: float, now: float) -> float | None:
        """So much of a stream has left for its listener. Returns, if it was the first, the seconds since arrival."""
        progress = self._streams.get(stream)
        if progress is None or seconds <= progress.left:
            return None
        first = progress.left_at is None
        progress.left = seconds  # a note may overtake what is said of the sending
        progress.left_at = now if progress.left_at is None else progress.left_at
        progress.heard_of, progress.heard_of_at = True, now
        if not progress.generating and progress.queued <= 0:
            del self._streams[stream]
        return now - progress.arrived if first else None

    def waits(self, stream: str, waits: bool, now: float) -> None:
        """Whether a stream waits for text. What its listener misses meanwhile is nobody's fault."""
        if progress := self._streams.get(stream):
            progress.waiting, progress.heard_of_at = waits, now
            if not waits and progress.left_at is not None:
                progress.left_at += max(0.0, -progress.ahead(now))

    def ends(self, stream: str, wanted: bool) -> None:
        """Nothing more will be generated. wanted: what waits at the codec will still be decoded."""
        if progress := self._streams.get(stream):
            progress.generating = False
            if not wanted or progress.queued <= 0:
                del self._streams[stream]

    def pace(self, now: float) -> Pace:
        """Who rests and who yields now; forgets streams that have ended and of which no word comes any more."""
        over = [name for name, one in self._streams.items() if not one.generating and one.is_forgotten(now)]
        for name in over:
            del self._streams[name]
        streams = {name: one for name, one in self._streams.items() if one.generating and not one.waiting}
        if any(one.full and one.queued < HALF for one in streams.values()):
            for one in streams.values():
                one.full = False
        for one in streams.values():
            one.heard_of = one.heard_of and not one.is_unheard_of(now)
            one.full = one.heard_of and (one.full or one.queued > FULL)
        short = [one for one in streams.values() if one.store(now) < SHORT]
        alone = len(streams) == 1
        return Pace(
            resting=frozenset(
                name for name, one in streams.items() if one.full or (alone and one.awaits_first_sound(now))
            ),
            yielding=frozenset(
                name for name, one in streams.items() if short and one.heard_of and one.store(now) >= PLENTY
            ),
            hurried=any(one.sent > 0 for one in short),
        )

    def late(self, now: float) -> int:
        """How many streams have a listener who waits for audio."""
        return sum(_is_late(progress, now) for progress in self._streams.values())


def _is_late(progress: _Progress, now: float) -> bool:
    if progress.sent_at is None or progress.waiting:
        return False  # it waits for a stream, and is counted there, or for text
    if progress.left_at is None:
        return now - progress.sent_at > _PATIENCE
    return progress.ahead(now) < -_PATIENCE
