"""A text that comes in pieces: which of its parts no further piece would change.

What is sure is read as a whole text is, from the last empty line on, and what was given of it before is left out. So
the parts are those of the whole text, however it was cut into pieces, unless somebody could not wait.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from runtime.formats.options import GenerationParams
from runtime.text.parts import TextPart, located
from runtime.text.sentences import CLOSING
from runtime.text.sure_ends import is_balanced, sure_clause, sure_ends

# Seconds that the end of a sentence waits for what may follow it: where only white space is missing, and where it may
# be an abbreviation or a number.
_SETTLED, _UNSURE = 0.03, 0.4
_LONGEST = 15.0  # that words wait at all, while more keep coming and no sentence surely ends
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n\s*")
_ENDED = re.compile(rf"[.!?…。！？][{re.escape(CLOSING)}\"'*_]*\s*$")
_FENCE = "```"
_LONGEST_END = 20  # characters of a mark and what closes behind it, which may still grow
_NEAR = 400  # characters that tell the language of what was just begun
_LONGEST_BLOCK = 4000  # characters that are read again for each sentence; beyond, wrapped lines may be read otherwise


class ReadsParts(Protocol):
    """Reads what one block of a text says; speaker: who speaks where it names nobody."""

    def language(self, text: str) -> str: ...
    def parts(self, text: str, speaker: str, opening: bool, closing: bool) -> list[TextPart]: ...


class GrowingText:
    """Not thread-safe."""

    def __init__(self, reader: ReadsParts, params: GenerationParams) -> None:
        self._reader, self._params = reader, params
        self._block, self._begins = "", 0  # what was given since the last empty line, and where that was
        self._speaker, self._speaker_before = "", ""  # of the last part, and of the last before the block
        self._given: list[TextPart] = []  # of the block
        self._stop = 0  # the characters of the block that these say
        self._searched = 0  # those before which nothing more ends for sure
        self._pause = 0.0  # between the last part before the block and its first
        self._opening = True
        self._waits_since = 0.0  # what was not given yet
        self.came = 0.0  # when the last piece did

    @property
    def characters(self) -> int:
        """How many were given."""
        return self._begins + len(self._block)

    @property
    def spoken(self) -> int:
        """How many of them have been given on as parts."""
        return self._begins + self._stop

    def append(self, piece: str, now: float) -> None:
        """More text, at that time."""
        if not self._block[self._stop :].strip():
            self._waits_since = now
        self._block += piece
        self.came = now

    def sure(self) -> tuple[float, list[TextPart]]:
        """The pause in seconds before the parts that are sure by now, and these, none given before."""
        pieces = []
        while True:
            rest = self._block[self._stop :]
            blank = _BLANK_LINE.search(rest)
            if blank and is_balanced(rest[max(0, blank.start() - _NEAR) : blank.start()]):
                pieces.append(self._take(self._stop + blank.end()))
                self._begin_block(self._params.paragraph_pause_seconds)
                continue
            stop = self._sure_stop(rest, settled=False)
            if not stop:
                return _joined(pieces)
            pieces.append(self._take(self._stop + stop))

    def due(self) -> float:
        """When what is left should wait no longer; never, while nothing is left."""
        rest = self._block[self._stop :]
        if not any(map(str.isalnum, rest)):
            return math.inf
        if self._sure_stop(rest, settled=True):
            return self.came + _SETTLED
        patience = self._params.unfinished_seconds
        patience = min(_UNSURE, patience) if _ENDED.search(rest) else patience
        return min(self.came + patience, self._waits_since + _LONGEST)

    def all(self, closing: bool) -> tuple[float, list[TextPart]]:
        """As `sure`, with all that is left; closing: no more will come."""
        ended = _ENDED.search(self._block)
        pieces = [self._take(len(self._block), closing)]
        self._begin_block(self._params.pause_seconds if ended else 0.0)
        return _joined(pieces)

    def _sure_stop(self, rest: str, settled: bool) -> int:
        """Where the last sure sentence ends, or the clause that may open the speech; 0 for nowhere.

        settled: also one behind which nothing came yet.
        """
        if self._block.count(_FENCE) % 2:
            return 0
        language = self._reader.language(rest[:_NEAR])
        searched = max(0, self._searched - self._stop)
        ends = [end for end in sure_ends(rest, language, searched) if end < len(rest) or settled]
        self._searched = max(self._searched, self._stop + len(rest) - _LONGEST_END)
        clause = sure_clause(rest, language) if self._opening and not self._given and not ends else None
        if clause and (clause < len(rest) or settled):
            ends.append(clause)
        return ends[-1] if ends else 0

    def _take(self, stop: int, closing: bool = False) -> tuple[float, list[TextPart]]:
        """The pause before what the block says up to there and was not given yet, and that."""
        parts = self._read(stop, closing)
        if [part.turns for part in parts[: len(self._given)]] != [one.turns for one in self._given]:
            # What came later changed how the block is read: the rest of it has to be read alone.
            stop -= self._stop
            self._begin_block(self._params.pause_seconds)
            parts = self._read(stop, closing)
        known = len(self._given)
        pause = parts[known - 1].pause if known else self._pause
        fresh = self._located(parts[known:], stop)
        self._given += fresh
        self._stop, self._waits_since = stop, self.came
        self._speaker = fresh[-1].speaker if fresh else self._speaker
        if stop > _LONGEST_BLOCK:
            self._begin_block(self._params.pause_seconds)
        return pause, fresh

    def _read(self, stop: int, closing: bool) -> list[TextPart]:
        return self._reader.parts(self._block[:stop], self._speaker_before, self._opening, closing)

    def _begin_block(self, pause: float) -> None:
        """What was not given yet stands alone from now on; pause: in front of it."""
        self._begins, self._block = self._begins + self._stop, self._block[self._stop :]
        self._searched, self._stop = max(0, self._searched - self._stop), 0
        self._speaker_before = self._speaker
        if self._given:
            self._opening, self._pause, self._given = False, pause, []

    def _located(self, parts: Sequence[TextPart], stop: int) -> list[TextPart]:
        return located(parts, self._block, self._stop, stop, self._begins)


def _joined(pieces: Sequence[tuple[float, list[TextPart]]]) -> tuple[float, list[TextPart]]:
    """Pieces one after another, each with the pause in front of it."""
    first, parts = 0.0, list[TextPart]()
    for pause, fresh in pieces:
        if parts and fresh:
            parts[-1] = replace(parts[-1], pause=pause)
        elif fresh:
            first = pause
        parts += fresh
    return first, parts
