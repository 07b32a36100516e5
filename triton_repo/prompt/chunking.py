"""Cutting text into the pieces that are spoken one after another: whole sentences where they fit, in reading order.

Sizes are counted in words. A character of a script without spaces counts as two thirds of one, which is about the time
it takes to say; a sound event counts as one. sentencex finds the sentences, in all languages alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import sentencex

METHODS = ("auto", "speaker", "fixed", "semantic")

_CHARACTER = "\u3040-\u30ff\u3400-\u9fff"
_EVENT = r"<SE>[^<>]*</SE>|<SE_s>[^<>]*</SE_s>|<SE_e>[^<>]*</SE_e>"
# What is never cut: an event, a character with the punctuation that clings to it, or a run without spaces; and the
# white space after it.
_UNIT = re.compile(rf"(?:{_EVENT}|[{_CHARACTER}](?:(?!{_EVENT})[^\w\s])*|(?:(?!{_EVENT})[^\s{_CHARACTER}])+)\s*")
_CLAUSE_END = re.compile(r"[,;:，；：、。！？…–—)]\s*$")
_CLOSING = "»”’」』）)]"  # belongs to the sentence before, even after a space


@dataclass(frozen=True)
class Chunk:
    """A piece of text without white space around it, and whether a paragraph ends with it."""

    text: str
    ends_paragraph: bool


def chunk(text: str, method: str, language: str, words: int) -> list[Chunk]:
    """The text in chunks of at most `words` words (at least 1), never across a paragraph; joined they are the text.

    "speaker" leaves the text whole; "auto" does so with one that is short enough, and cuts a longer one as "semantic"
    does: sentences are packed up to `words`, and one that is longer is cut after a clause, or after a word. "fixed"
    cuts after every `words` words. A paragraph is a line. The only chunk that can be longer is one unbroken word.
    """
    assert method in METHODS and words >= 1
    if method == "speaker" or (method == "auto" and _size(_UNIT.findall(text)) <= 3 * words):
        return [Chunk(text.strip(), True)] if text.strip() else []
    chunks: list[Chunk] = []
    for paragraph in filter(None, (line.strip() for line in text.splitlines())):
        units = _UNIT.findall(paragraph)
        if method == "fixed":
            pieces = [[unit] for unit in units]
        else:
            pieces = list(_fitting(_sentences(units, paragraph, language), words))
        packed = list(_packed(pieces, words))
        chunks += [Chunk("".join(piece).strip(), piece is packed[-1]) for piece in packed]
    return chunks


def _sentences(units: list[str], paragraph: str, language: str) -> Iterator[list[str]]:
    """The units of each sentence; a unit that a sentence's end falls into belongs to the sentence before."""
    ends = _ends(paragraph, language)
    end, position = next(ends), 0
    sentence: list[str] = []
    for unit in units:
        if sentence and position >= end and unit[0] not in _CLOSING:
            yield sentence
            sentence = []
            while end <= position:
                end = next(ends, len(paragraph) + 1)
        sentence.append(unit)
        position += len(unit)
    yield sentence


def _ends(paragraph: str, language: str) -> Iterator[int]:
    """Where sentences end, in characters."""
    position = 0
    for sentence in sentencex.segment(language, paragraph):
        position += len(sentence)
        yield position


def _fitting(sentences: Iterator[list[str]], words: int) -> Iterator[list[str]]:
    """Sentences as they are if they fit, and those that do not clause by clause, or word by word."""
    for sentence in sentences:
        pieces = [sentence] if _size(sentence) <= 3 * words else _clauses(sentence)
        for piece in pieces:
            if _size(piece) <= 3 * words:
                yield piece
            else:
                yield from ([unit] for unit in piece)


def _clauses(sentence: list[str]) -> Iterator[list[str]]:
    clause: list[str] = []
    for unit in sentence:
        clause.append(unit)
        if _CLAUSE_END.search(unit):
            yield clause
            clause = []
    if clause:
        yield clause


def _packed(pieces: list[list[str]], words: int) -> Iterator[list[str]]:
    """Neighbouring pieces joined for as long as they fit."""
    held: list[str] = []
    size = 0
    for piece in pieces:
        added = _size(piece)
        if held and size + added > 3 * words:
            yield held
            held, size = [], 0
        held.extend(piece)
        size += added
    yield held


def _size(units: list[str]) -> int:
    """Thirds of a word."""
    return sum(2 if "\u3040" <= unit[0] <= "\u30ff" or "\u3400" <= unit[0] <= "\u9fff" else 3 for unit in units)
