"""The paragraphs of a text as they are spoken: what was wrapped is one line again.

An empty line ends a paragraph, and so do a heading, a list's item, a line of verse and an indented beginning. Any other
line break is there because the line was full. Two things tell which it is: how full the line was, that is whether the
next word would have fitted into it too, and how the text goes on, in the middle of a sentence or with a new one.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import pairwise

from runtime.text.languages import is_common_word
from runtime.text.sentences import CLOSING, OPENING, ends_with_abbreviation

_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")
_LINE_BREAKS = re.compile(r"\r\n?|[\u2028\u2029\x0b\x0c\x85]")
_SENTENCE_END = re.compile(r"[.!?…。！？:：][\"'”’»」』）)\]*_]*$")
_MARK_END = re.compile(r"[^\w\s][\"'”’»」』）)\]]*$")
_ITEM = re.compile(r"[-*+•▪‣◦·](?=\s)|[•▪‣◦·](?=\w)|[一二三四五六七八九十]{1,3}、")
_NUMBERED_ITEM = re.compile(r"[(（]?(?:[0-9]{1,3}|[a-zA-Z])[.)）、](?=\s|[\u3400-\u9fff])")
_SPEECH = re.compile("[—–―]")  # whose words begin with a dash
_WITHOUT_SPACES = re.compile("[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]")
_HYPHENATED = re.compile(r"([^\W\d_]+)[-‐\u00ad]$")
_RANGE = re.compile(r"[0-9][-–]$")
_ASCII_WORD = re.compile(r"[0-9A-Za-z]")
_LETTERS = re.compile(r"[^\W\d_]+")

_NARROW = 40  # columns; prose is wrapped wider, so that below it a full line tells nothing
_VERSE = 60  # no verse is wider
_LIST = 25
_HEADING = 0.45  # of the width; a shorter line of Chinese that ends without a mark is a heading
_NO_BEGINNING = "…，。、；：！？,.;:!?"
_RAGGED = 6  # columns that people leave who wrap by hand


def paragraphs(text: str, language: str) -> list[str]:
    """The paragraphs in order, each a line without white space around it."""
    blocks = _BLANK_LINES.split(_LINE_BREAKS.sub("\n", text))
    return [paragraph for block in blocks for paragraph in _joined(block.expandtabs(), language)]


@dataclass(frozen=True)
class _Block:
    """What the lines between two empty ones have in common; `width` in columns, `wide`: Chinese or Japanese."""

    width: int
    wide: bool
    verse: bool
    numbered: bool


def _joined(text: str, language: str) -> list[str]:
    lines = [line.rstrip() for line in text.split("\n") if line.strip()]
    pieces = [line.strip() for line in lines]
    width = max(map(_columns, lines), default=0)
    wide = 3 * len(_WITHOUT_SPACES.findall(text)) >= len(text)
    numbered = sum(bool(_NUMBERED_ITEM.match(piece)) for piece in pieces) > 1
    block = _Block(width, wide, _is_verse(pieces, width, wide), numbered)
    for place, (line, following) in enumerate(pairwise(lines)):
        ended = _ends_with(line, following, block)
        pieces[place] = f"{pieces[place]}\n" if ended else _before(pieces[place], pieces[place + 1], wide, language)
    return [line for line in "".join(pieces).split("\n") if line]


def _ends_with(line: str, following: str, block: _Block) -> bool:
    """Whether a paragraph ends with the line."""
    text, after = line.strip(), following.strip()
    cut_word = (_HYPHENATED.search(text) and after[0].islower()) or (_RANGE.search(text) and after[0].isdigit())
    if after[0] in CLOSING + _NO_BEGINNING or text[-1] in OPENING or cut_word or ends_with_abbreviation(text, after):
        return False
    sentence_ended = bool(_SENTENCE_END.search(text))
    if _ITEM.match(after) or (block.numbered and _NUMBERED_ITEM.match(after)):
        return True
    if sentence_ended and (_SPEECH.match(after) or _indent(following) > _indent(line)):
        return True
    if block.verse:
        return not after[0].islower() or bool(_MARK_END.search(text))
    goes_on = _columns(line) >= _HEADING * block.width if block.wide else after[0].islower()
    full = block.width >= _NARROW and _is_full(line, after, block.width - _RAGGED)
    return not full and (sentence_ended or not goes_on)


def _is_full(line: str, following: str, width: int) -> bool:
    """Whether the next word would not have fitted into the line."""
    word = following[0] if _WITHOUT_SPACES.match(following) else following.split(maxsplit=1)[0]
    return _columns(line) + 1 + _columns(word) > width


def _is_verse(lines: list[str], width: int, wide: bool) -> bool:
    """Whether the lines are short ones that each begin anew, or that nothing joins, as in a list."""
    full = all(_is_full(line, following, width) for line, following in pairwise(lines))
    if len(lines) < 2 or width > _VERSE or (full and width >= _NARROW):
        return False
    marked = [bool(_MARK_END.search(line)) for line in lines]
    if wide:
        return all(marked) or not any(marked)
    begun = sum(not line.lstrip("\"'“‘«([¿¡—–-… ")[:1].islower() for line in lines)
    if begun == len(lines):
        return len(lines) > 2 or marked[0]
    listed = width < _LIST and len(lines) > 2 and not any(marked)
    return listed or (begun >= 0.75 * len(lines) and sum(marked) >= 0.75 * len(lines))


def _before(text: str, following: str, wide: bool, language: str) -> str:
    """A line as it stands before the next one, with a space, or as the first part of a word that was cut in two."""
    hyphenated, rest = _HYPHENATED.search(text), _LETTERS.match(following)
    if hyphenated and rest and following[0].islower():
        first, second = hyphenated[1], rest[0]
        compound = (
            not is_common_word(first + second, language)
            and is_common_word(first, language)
            and is_common_word(second, language)
        )
        return text if compound else text[:-1]
    unspaced = wide and not (_ASCII_WORD.match(text[-1]) and _ASCII_WORD.match(following))
    cut_range = text[-1] in "-–" and text[-2:-1].isalnum() and following[0].isalnum()  # 1990-|1995, Jean-|Paul
    return text if unspaced or cut_range else f"{text} "


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _indent(line: str) -> int:
    return _columns(line[: len(line) - len(line.lstrip())])
