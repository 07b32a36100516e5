"""When each word is heard: an estimate, by the share of the speech that its reading should take.

The silences that are heard correct it. Where a part's first word begins and its last one ends is exact to 10 ms.
"""

import json
import math
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

STEP_SECONDS = 0.01
_QUIET = 10**-3.5  # of the power of loud speech: what has less is silent
_PAUSE_STEPS = 10  # a shorter silence may be within a word, before a "t" or a "k"
_FAR = 0.35  # seconds between a silence and the expected end of the word before it; beyond, it is within a word
_MARKED, _MOST_MARKED = 2.0, 0.6  # times its length, and seconds, that a silence may be farther from a mark's word
_MARKS = tuple(",;:.!?…—–)]»”，；：、。！？）】》」』")


@dataclass(frozen=True)
class Word:
    """A word of a part as it was given, with the marks beside it; in Chinese and Japanese a character."""

    text: str
    start: int  # of its characters in the text that was given
    stop: int  # behind them
    share: float  # of the part's speech, pauses left out, that its reading should take


@dataclass(frozen=True)
class PartText:
    """What a part says, told with its first chunk."""

    written: str  # as it was given, without marks that are not spoken
    start: int  # of its characters in the text that was given
    stop: int  # behind them
    seconds: float  # that its words should take, pauses left out
    words: tuple[Word, ...]

    @classmethod
    def read(cls, text: str) -> "PartText":
        """Parse the server's JSON. Raises ValueError when it is not the text of a part."""
        try:
            values = json.loads(text)
            return cls(**values | {"words": tuple(Word(**word) for word in values["words"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"what a part says lacks or misplaces {error}") from None


@dataclass(frozen=True)
class TimedWord:
    """A word and about when it is heard."""

    text: str
    characters: tuple[int, int]  # where it stands in the text that was given
    start: float  # seconds of the stream
    stop: float

    @property
    def middle(self) -> float:
        """The second from which on it counts as heard."""
        return (self.start + self.stop) / 2


def timed_words(
    said: PartText, samples: NDArray[np.float32], sample_rate: int, *, start: float = 0.0, whole: bool = True
) -> tuple[TimedWord, ...]:
    """Every word of a part, in order, with the seconds between which it is heard, as `HeardPart` tells them.

    samples: [n], of the part, which begins at `start`; a pause may follow. whole: whether these are all of it, and it
    said all of its words.
    """
    heard = HeardPart(said, sample_rate, start)
    heard.add(samples)
    return heard.words(whole)


class HeardPart:
    """A part that is being heard. It keeps how loud the part was, 100 values a second, and not its samples.

    start: the second at which it begins.
    """

    def __init__(self, said: PartText, sample_rate: int, start: float = 0.0) -> None:
        self._said, self._start = said, start
        self._step = max(1, round(STEP_SECONDS * sample_rate))  # samples
        self._seconds = self._step / sample_rate  # of a step
        self._powers: list[NDArray[np.float32]] = []
        self._rest = np.zeros(0, np.float32)

    @property
    def stop(self) -> float:
        """The second at which what was added ends, to a step."""
        return self._start + sum(map(len, self._powers)) * self._seconds

    def add(self, samples: NDArray[np.float32]) -> None:
        """Its next samples, [n]."""
        samples = np.concatenate([self._rest, samples])
        steps = len(samples) // self._step
        self._rest = samples[steps * self._step :]
        self._powers.append(np.square(samples[: steps * self._step].reshape(steps, self._step)).mean(axis=1))

    def words(self, whole: bool) -> tuple[TimedWord, ...]:
        """Every word, in order. whole: all of the part was heard, and it said all of them. Otherwise the words to come
        have the times at which they are expected.
        """
        words = self._said.words
        powers = np.concatenate([*self._powers, [np.square(self._rest).mean()] if len(self._rest) else []])
        speech = _Speech(powers, whole)
        ends = [0.0, *accumulate(word.share for word in words)]
        scale = (speech.steps if whole else self._said.seconds / self._seconds) / max(ends[-1], 1e-9)
        places = _corrected([end * scale for end in ends], words, speech.pauses, 1 / self._seconds, whole)
        times = [(self._time(speech.after(one)), self._time(speech.before(two))) for one, two in pairwise(places)]
        return tuple(
            TimedWord(word.text, (word.start, word.stop), *time) for word, time in zip(words, times, strict=True)
        )

    def _time(self, steps: float) -> float:
        return round(self._start + steps * self._seconds, 3)


class _Speech:
    """Where there is speech, and where silence. Counted in steps; a place is a number of steps without the silences.

    pauses: the places of those between words, with their lengths.
    """

    def __init__(self, powers: NDArray[np.float32], whole: bool) -> None:
        loud = powers > _QUIET * np.percentile(powers, 95) if len(powers) else np.zeros(0, bool)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]]).astype(np.int8)))
        runs = [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]
        joined = runs[:1]
        for begin, end in runs[1:]:
            if begin - joined[-1][1] < _PAUSE_STEPS:
                joined[-1] = joined[-1][0], end
            else:
                joined.append((begin, end))
        if not joined:
            joined = [(0, len(powers))] if whole else [(len(powers), len(powers))]
        elif not whole and len(powers) - joined[-1][1] >= _PAUSE_STEPS:
            joined.append((len(powers), len(powers)))  # what comes next comes later
        self._runs = joined
        self._places = np.array([0, *accumulate(end - begin for begin, end in joined)])
        self.steps = int(self._places[-1])
        self.pauses = [
            (float(place), begin - end)
            for place, (_, end), (begin, _) in zip(self._places[1:], joined, joined[1:], strict=False)
        ]

    def after(self, place: float) -> float:
        """The step at which what begins at this place does: behind a silence there."""
        return self._step(place, int(np.searchsorted(self._places[:-1], place, "right")) - 1)

    def before(self, place: float) -> float:
        """The step at which what ends at this place does: before a silence there."""
        return self._step(place, max(0, int(np.searchsorted(self._places[:-1], place, "left")) - 1))

    def _step(self, place: float, run: int) -> float:
        return self._runs[run][0] + place - float(self._places[run])


def _corrected(
    ends: list[float], words: tuple[Word, ...], pauses: list[tuple[float, int]], second: float, whole: bool
) -> list[float]:
    """The places at which the words end, moved to pauses, the longest first, and in proportion between them.

    ends: where they should end, behind that where the first begins. second: in steps. whole: whether the last end is
    known; otherwise it moves with the one before it.
    """
    known = [0, len(ends) - 1]
    for pause, length in sorted(pauses, key=lambda one: -one[1]):
        right = next((end for end in known[1:] if ends[end] > pause), None)
        if right is None:
            continue
        left = known[known.index(right) - 1]
        nearer = min(_MARKED * length, _MOST_MARKED * second)
        distances = [
            (abs(ends[end] - pause) - nearer * words[end - 1].text.endswith(_MARKS), end)
            for end in range(left + 1, right)
        ]
        distance, near = min(distances, default=(math.inf, left))
        if distance > _FAR * second:
            continue
        moved = 0 if whole or right + 1 < len(ends) else pause - ends[near]
        before = _stretched(ends[left : near + 1], ends[left], pause)
        behind = _stretched(ends[near : right + 1], pause, ends[right] + moved)
        ends = [*ends[:left], *before, *behind[1:], *ends[right + 1 :]]
        known = sorted([*known, near])
    return ends


def _stretched(places: list[float], first: float, last: float) -> list[float]:
    """The places so that they begin and end there."""
    scale = (last - first) / max(places[-1] - places[0], 1e-9)
    return [first, *(first + (place - places[0]) * scale for place in places[1:-1]), last]
