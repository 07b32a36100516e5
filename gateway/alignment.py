"""When words are spoken, told with their audio: estimates, in seconds of the audio as it is sent, at its speed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from higgs_tts import AudioChunk, HeardPart, TimedWord


@dataclass(frozen=True)
class Aligned:
    """What begins to be spoken in a stretch of the audio. spoken: words, and a space where one ends before the next.

    start, stop: seconds of the audio. No word begins outside of them; the last ones may end behind.
    """

    spoken: tuple[TimedWord, ...]
    start: float
    stop: float

    def characters(self, since: float | None = None) -> tuple[list[str], list[int], list[int]]:
        """Its characters, when each begins, and how long each lasts, in milliseconds.

        since: the second from which they count; by default, where the stretch begins. They last until its end, so that
        clients who add them up keep the time: a space does, where no word begins.
        """
        text, bounds = "", list[float]()
        for word in self.spoken or (_space(self.start),):
            seconds = max(0.0, min(word.stop, self.stop) - word.start)
            bounds += [word.start + seconds * place / len(word.text) for place in range(len(word.text))]
            text += word.text
        begins = round(1000 * (self.start if since is None else since))
        starts = [round(1000 * second) - begins for second in (*bounds, self.stop)]
        return list(text), starts[:-1], [after - before for before, after in pairwise(starts)]

    def words(self) -> list[TimedWord]:
        """What is spoken, without the spaces."""
        return [word for word in self.spoken if not word.text.isspace()]


def aligned(last: AudioChunk, speed: float) -> Aligned:
    """All of a speech, by the report that comes with its last chunk. speed: how much faster it is sent than the server
    speaks it."""
    parts = last.report.parts if last.report else ()
    return _stretch([word for part in parts for word in _spaced(part.words)], 0.0, last.stop, speed)


class Alignment:
    """Hears the chunks of one speech in turn. speed: how much faster it is sent than the server speaks it."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self.text = ""  # of the part that is heard
        self._part: HeardPart | None = None
        self._number = self._told = 0  # of the part, and of its words and spaces that were taken
        self._left: list[TimedWord] = []  # of parts that are over
        self._start = self._stop = 0.0  # seconds at the server's speed: what was taken, what was heard

    def hears(self, chunk: AudioChunk) -> None:
        """The next chunk."""
        if chunk.said is not None:
            self.begin_part(chunk.part)
            self._part = HeardPart(chunk.said, chunk.sample_rate, chunk.start)
            self._number, self.text = chunk.part, chunk.said.written
        if self._part is not None:
            self._part.add(chunk.samples)
        self._stop = chunk.stop
        if chunk.report is not None and self._part is not None:  # it knows whether the last part said all of its words
            self._end([word for part in chunk.report.parts[self._number :] for word in part.words])

    def begin_part(self, number: int) -> None:
        """Nothing more comes of the part before, which is taken to have said all of its words."""
        if self._part is not None and self._number != number:
            self._end(self._part.words(whole=True))

    def take(self) -> Aligned | None:
        """What was heard since the last time; None for nothing. A part's first word counts as begun."""
        due, self._left = self._left, []
        start, self._start = self._start, self._stop
        if self._part is not None and start < self._stop:
            spoken = list(_spaced(self._part.words(whole=False)))
            begun = max(1, sum(word.start < self._stop for word in spoken))
            if self._told == begun < len(spoken) and spoken[begun].text.isspace():
                begun += 1  # rather than another space beside it
            due += spoken[self._told : begun]
            self._told = max(self._told, begun)
        return _stretch(due, start, self._stop, self._speed) if due or start < self._stop else None

    def _end(self, words: Sequence[TimedWord]) -> None:
        """words: of the part, all that it said."""
        self._left += list(_spaced(words))[self._told :]
        self._part, self._told = None, 0


def _stretch(spoken: Sequence[TimedWord], start: float, stop: float, speed: float) -> Aligned:
    """All but `speed` at the server's speed. What should have begun before does so at the start."""
    begins = [min(max(word.start, start), stop) for word in spoken]
    moved = (
        replace(word, start=begin / speed, stop=max(begin, word.stop) / speed)
        for word, begin in zip(spoken, begins, strict=True)
    )
    return Aligned(tuple(moved), start / speed, stop / speed)


def _spaced(words: Sequence[TimedWord]) -> Iterator[TimedWord]:
    """With a space where the given text has something between two words, and behind the last one."""
    for word, after in zip(words, [*words[1:], None], strict=True):
        yield word
        if after is None or after.characters[0] != word.characters[1]:
            yield _space(word.stop)


def _space(second: float) -> TimedWord:
    return TimedWord(" ", (0, 0), second, second)
