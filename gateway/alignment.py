"""What was said when, part by part. The times within a part are estimates: they share out its seconds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from higgs_tts import AudioChunk, SpeechPart


@dataclass(frozen=True)
class Aligned:
    """A part that was spoken. start: seconds of the audio at which it begins. seconds: how long it is spoken; pause:
    how long nothing is said after it. Of the audio as it is sent, at its speed."""

    text: str
    start: float
    seconds: float
    pause: float

    def characters(self) -> tuple[list[str], list[int], list[int]]:
        """Its characters, when each begins after the part does, and how long each lasts, in milliseconds.

        A space at the end lasts as long as the pause, so that parts follow each other as words do.
        """
        text = self.text.rstrip() + " "
        letters = len(text) - 1
        bounds = [round(1000 * self.seconds * place / max(1, letters)) for place in range(letters + 1)]
        bounds.append(round(1000 * (self.seconds + self.pause)))
        return list(text), bounds[:-1], [after - before for before, after in pairwise(bounds)]

    def words(self) -> list[tuple[str, float, float]]:
        """Its words, with the seconds after the part's beginning at which each begins and ends."""
        characters, starts, lasts = self.characters()
        found, word, begins, ends = list[tuple[str, float, float]](), "", 0, 0
        for character, start, last in zip(characters, starts, lasts, strict=True):
            if not character.isspace():
                begins = begins if word else start
                word, ends = word + character, start + last
            elif word:
                found.append((word, begins / 1000, ends / 1000))
                word = ""
        return found


def aligned_parts(last: AudioChunk, speed: float) -> tuple[Aligned, ...]:
    """All parts of a speech, by the report that comes with its last chunk. speed: how much faster it is sent than the
    server speaks it."""
    parts = last.report.parts if last.report else ()
    stops = [*(part.start for part in parts[1:]), last.stop][: len(parts)]
    return tuple(_aligned(part, stop, speed) for part, stop in zip(parts, stops, strict=True))


def _aligned(part: SpeechPart, until: float, speed: float) -> Aligned:
    """until: when the next part begins."""
    seconds, pause = part.stop - part.start, max(0.0, until - part.stop)
    return Aligned(part.written, part.start / speed, seconds / speed, pause / speed)


class Alignment:
    """Hears the chunks of one speech in turn. speed: how much faster it is sent than the server speaks it."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self.text = ""  # of the part that is heard, where it is known

    def hears(self, chunk: AudioChunk) -> tuple[Aligned, ...]:
        """The parts that are whole with this chunk: all of them, with the report that comes with the last one."""
        return aligned_parts(chunk, self._speed)
