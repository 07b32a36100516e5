"""What a part says word by word, for whoever shows its words, or counts them, while they are heard."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.formats.errors import require


@dataclass(frozen=True)
class Word:
    """A word with the marks beside it; in scripts without spaces a character.

    `start`, `stop`: where it stands in the text that was given, `stop` behind it. `share`: of the time that the part
    speaks, pauses left out, about how much its reading takes.
    """

    text: str
    start: int
    stop: int
    share: float

    def __post_init__(self) -> None:
        require(0 <= self.start <= self.stop < 2**31, "start and stop", (self.start, self.stop))
        require(0 <= self.share <= 1, "share", self.share)


@dataclass(frozen=True)
class PartText:
    """The words of a part as they were given.

    `written`: all of them, without marks that are not spoken. `start`, `stop`: where they stand in the text that was
    given, `stop` behind them. `seconds`: about how long they take to say, pauses left out.
    """

    written: str
    start: int
    stop: int
    seconds: float
    words: tuple[Word, ...]

    def __post_init__(self) -> None:
        require(0 <= self.start <= self.stop < 2**31, "start and stop", (self.start, self.stop))
        require(0 <= self.seconds < 2**31, "seconds", self.seconds)

    def heard(self, share: float) -> int:
        """Where the last word ends whose middle was said when this share of the speech was."""
        before, last = 0.0, self.start
        for word in self.words:
            if before + word.share / 2 > share:
                break
            before, last = before + word.share, word.stop
        return last
