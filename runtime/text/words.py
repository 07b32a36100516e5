"""The words of a text as they were given: which there are, where they stand, and how long each takes to say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from runtime.text.duration import sounds
from runtime.text.sentences import OPENING

_NEAR = 200  # characters within which the next word is looked for
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff"  # characters of scripts that do not part words
_PIECE = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
_ALPHANUMERIC = re.compile(r"[^\W_]+")
_MARKS = re.compile(rf"[^\w\s{re.escape(OPENING)}]+")  # that belong to what stands before them

Place = tuple[str, int, int]  # a word, and where it stands in a text: from the first to before the second


def split_words(text: str) -> list[Place]:
    """The words of a text with the marks beside them; in scripts without spaces each character is one."""
    spans: list[tuple[int, int]] = []
    opened: int | None = None
    for piece in _PIECE.finditer(text):
        begin, end = piece.span()
        if any(map(str.isalnum, piece[0])):
            spans.append((begin if opened is None else opened, end))
            opened = None
        elif spans and opened is None and piece[0][0] not in OPENING:
            spans[-1] = spans[-1][0], end
        else:
            opened = begin if opened is None else opened
    return [(" ".join(text[begin:end].split()), begin, end) for begin, end in spans]


def find_words(written: str, text: str, start: int, stop: int) -> list[Place]:
    """The words of `written`, and where they stand between `start` and `stop` of `text`.

    What is not said, such as Markdown's marks, lies between them. For words that are not there, because a lexicon
    brought them, what stands in their place is given; without length where nothing does.
    """
    found: list[Place] = []
    missing: list[str] = []
    for word, *_ in split_words(written):
        place = _find(word, text, start, stop)
        if place is None:
            missing.append(word)
            continue
        if missing:
            found.append(_instead(missing, split_words(text[start : place[1]])[-len(missing) :], start))
            missing = []
        found.append(place)
        start = place[2]
    if missing:  # how many words they stand for is not known; a lexicon's are mostly single ones
        found.append(_instead(missing, split_words(text[start : min(stop, start + _NEAR)])[:1], start))
    return found


def reading_shares(words: Sequence[str], read: str, language: str) -> list[float]:
    """The share of the whole that the reading of each word takes, pauses left out; together 1.

    read: all of them, as they are read.
    """
    spoken = [word for word, *_ in split_words(read)]
    lengths = [sounds(word, language) for word in spoken]
    given, reading = _keys(words), _keys(spoken)
    taken = [0.0] * len(words)
    for _, first, last, begin, end in SequenceMatcher(None, given, reading).get_opcodes():
        if last - first == end - begin:
            taken[first:last] = lengths[begin:end]
            continue
        # The words in this place share it; what came from nowhere goes to the one before.
        heirs = range(first, last) or range(max(0, first - 1), max(1, first))[: len(words)]
        own = [sounds(words[heir], language) + 1 for heir in heirs]
        for heir, weight in zip(heirs, own, strict=True):
            taken[heir] += sum(lengths[begin:end]) * weight / sum(own)
    whole = sum(taken)
    return [length / whole if whole else 1 / len(words) for length in taken]


def _keys(words: Sequence[str]) -> list[str]:
    return ["".join(filter(str.isalnum, word.casefold())) for word in words]


def _find(word: str, text: str, start: int, stop: int) -> Place | None:
    first, place = None, start
    for piece in _ALPHANUMERIC.findall(word):
        if (begins := text.find(piece, place, min(stop, place + len(piece) + _NEAR))) >= 0:
            first, place = begins if first is None else first, begins + len(piece)
    if first is None:
        return None
    if marks := _MARKS.match(text, place, stop):
        place = marks.end()
    before = word[: word.index(_ALPHANUMERIC.findall(word)[0])]
    if first - len(before) >= start and text.startswith(before, first - len(before)):
        first -= len(before)
    whole = first + len(word) if text.startswith(word, first, stop) else first
    return word, first, max(place, whole)


def _instead(missing: Sequence[str], there: Sequence[Place], start: int) -> Place:
    """What stands in the place of missing words: the words there are, of a text that begins at `start`."""
    if not there:
        return " ".join(missing), start, start
    return " ".join(word for word, *_ in there), start + there[0][1], start + there[-1][2]
