"""Cuts text into the pieces that are spoken one after another: whole sentences where they fit, in reading order.

Sizes are counted in words. A character of a script without spaces counts as two thirds of a word, which is about the
time it takes to say; a sound event counts as one word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise

from runtime.formats.options import CHUNK_METHODS
from runtime.text.paragraphs import paragraphs
from runtime.text.readings.normalization import EVENTS
from runtime.text.sentences import OPENING, belong_together, clauses, sentences
from runtime.text.sure_ends import sure_clause, sure_ends

_CHARACTER = "\u3040-\u30ff\u3400-\u9fff"
_EVENT = "|".join([r"<SE>[^<>]*</SE>|<SE_s>[^<>]*</SE_s>|<SE_e>[^<>]*</SE_e>", *map(re.escape, EVENTS)])
_OPENS = re.escape(OPENING)
_MOST_OPENING = 9  # marks in front of a character that cling to it
_IDEOGRAPH = re.compile(rf"[{_OPENS}]{{0,{_MOST_OPENING}}}[{_CHARACTER}]")
# What is never cut: an event, a character with the punctuation that clings to it, or a run without spaces; and the
# white space after it. French sets its marks off by a space.
_SET_OFF = r"(?:\s+[?!;:»]+[,.…]*(?=\s|$))*"
_UNIT = re.compile(
    rf"(?:«\s+)?(?:{_EVENT}|{_IDEOGRAPH.pattern}(?:(?!{_EVENT})[^\w\s{_OPENS}])*"
    rf"|(?:(?!{_EVENT}|[{_OPENS}]{{1,{_MOST_OPENING}}}[{_CHARACTER}])[^\s{_CHARACTER}])+){_SET_OFF}\s*"
)


@dataclass(frozen=True)
class Chunk:
    """A piece of text without white space around it, and whether a paragraph, or at least a sentence, ends with it."""

    text: str
    ends_paragraph: bool
    ends_sentence: bool = True


def chunk(text: str, method: str, language: str, words: int, opening: bool = False) -> list[Chunk]:
    """The text in chunks of at most `words` words (at least 1), never across a paragraph; joined they are the text.

    "speaker" leaves the text whole; "auto" does so with one that is short enough, and cuts a longer one as "semantic"
    does: sentences are packed up to `words`, and one that is longer is cut after a clause, or after a word. "sentence"
    packs none, so that what follows a sentence changes nothing; where the chunks are the opening of a speech, the
    first clause is one, which is heard sooner. "fixed" cuts after every `words` words. The only chunk that can be
    longer is one unbroken word.
    """
    assert method in CHUNK_METHODS and words >= 1
    lines = paragraphs(text, language)
    whole = "\n".join(lines)
    if method == "speaker" or (method == "auto" and _size(whole) <= 3 * words):
        return [Chunk(whole, True)] if whole else []
    chunks: list[Chunk] = []
    for line in lines:
        if method == "sentence":
            chunks += _sentence_by_sentence(line, language, 3 * words, opening and not chunks)
            continue
        fitting = _UNIT.findall(line) if method == "fixed" else _fitting(sentences(line, language), language, 3 * words)
        packed = list(_packed(fitting, 3 * words))
        chunks += [Chunk(piece.strip(), piece is packed[-1]) for piece in packed]
    return chunks


def _sentence_by_sentence(paragraph: str, language: str, most: int, opening: bool) -> list[Chunk]:
    """The sentences, cut only where they do not fit; opening: the first of them after its first clause."""
    ends = {*accumulate(map(len, sentences(paragraph, language))), *sure_ends(paragraph, language)}
    clause = sure_clause(paragraph, language) if opening else None
    pieces: list[tuple[str, bool]] = []
    for start, stop in pairwise(sorted({0, *ends, *([clause] if clause else [])})):
        packed = list(_packed(_fitting([paragraph[start:stop]], language, most), most))
        pieces += [(piece, piece is packed[-1] and stop != clause) for piece in packed]
    pieces = [(piece.strip(), ends) for piece, ends in pieces if piece.strip()]
    return [Chunk(piece, place == len(pieces) - 1, ends) for place, (piece, ends) in enumerate(pieces)]


def _fitting(sentences: Iterable[str], language: str, most: int) -> Iterator[str]:
    """Sentences that fit, unchanged; the others clause by clause or word by word."""
    for sentence in sentences:
        if _size(sentence) <= most:
            yield sentence
            continue
        for clause in _together(clauses(sentence), language):
            if _size(clause) <= most:
                yield clause
            else:
                yield from _packed(_words(clause, language, most), most)


def _words(clause: str, language: str, most: int) -> Iterator[str]:
    """The words of a clause, joined where they belong together; a run that is too long is cut at its weakest joints."""
    for row in _together(_UNIT.findall(clause), language):
        if _size(row) <= most:
            yield row
            continue
        for reading in _together(_UNIT.findall(row), language, loosely=False):
            yield from [reading] if _size(reading) <= most else _UNIT.findall(reading)


def _together(pieces: Iterable[str], language: str, loosely: bool = True) -> Iterator[str]:
    """The pieces, joined where they belong together; `loosely`: always join a number and its neighbours."""
    held = ""
    for piece in pieces:
        if held and not belong_together(held, piece, language, loosely):
            yield held
            held = ""
        held += piece
    if held:
        yield held


def _packed(pieces: Iterable[str], most: int) -> Iterator[str]:
    """Adjacent pieces, joined as long as they fit."""
    held, size = "", 0
    for piece in pieces:
        added = _size(piece)
        if held and size + added > most:
            yield held
            held, size = "", 0
        held += piece
        size += added
    if held:
        yield held


def _size(text: str) -> int:
    """Thirds of a word."""
    return sum(2 if _IDEOGRAPH.match(unit) else 3 for unit in _UNIT.findall(text))
