"""The paragraphs of a text as they are spoken: wrapped lines are joined again.

An empty line ends a paragraph, and so do a heading, a list item, a line of verse and an indented beginning. Any other
line break is there because the line was full. Two clues decide: how full the line was, that is whether the next word
would have fitted too, and whether the text continues in the middle of a sentence or with a new one.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from itertools import pairwise

from runtime.text.languages import is_common_word
from runtime.text.sentences import CLOSING, OPENING, belong_together, ends_with_abbreviation

_BLANK_LINES = re.compile(r"\n[^\S\n]*\n(?:[^\S\n]*\n)*")
_LINE_BREAKS = re.compile(r"\r\n?|[\u2028\u2029\x0b\x0c\x85]")
_SENTENCE_END = re.compile(r"[.!?…。！？:：।؟۔][\"'”’»」』）)\]*_]*$")
_MARK_END = re.compile(r"[^\w\s][\"'”’»」』）)\]]*$")
_ITEM = re.compile(r"[-*+•▪‣◦·](?=\s)|[•▪‣◦·](?=\w)|[一二三四五六七八九十]{1,3}、")
_NUMBERED_ITEM = re.compile(r"([(（]?)([0-9]{1,3}|[a-zA-Z])([.)）、])(?=\s|[\u3400-\u9fff])")
_SPEECH = re.compile(r"[—–―]\s*[^\sa-zà-öø-ÿ]")
_ASIDE = re.compile(r"[—–―]\s*[a-zà-öø-ÿ]")  # "—preguntó Ana", which goes on with the speech before it
_WITHOUT_SPACES = re.compile("[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]")
_CUT_WORD = re.compile(r"([^\W\d_]+)[-‐\u00ad]$")
_COMPOUND = re.compile(r"[^\W\d_]-[^\W\d_]+-$")  # up-to-, va-t-
_ELIDED = re.compile(r"\b[jmnst]['’][^\W\d_]+-$", re.IGNORECASE)  # a French verb, m'éveil-, that is no compound
_PRONOUN = re.compile(r"(?:ce|je|tu|ils?|elles?|on|nous|vous|t)\b")
_CUT_RANGE = re.compile(r"[0-9][-–]$")
_ASCII_WORD = re.compile(r"[0-9A-Za-z]")
_LETTERS = re.compile(r"[^\W\d_]+")
_BEGINNING = "\"'“‘«([¿¡—–-… "

_SURE = 40  # columns; in narrower lines only a block that is prose tells by full lines where it was wrapped
_VERSE = 60  # no verse is wider
_LIST = 40  # nor a list, or a poem in small letters
_HEADING = 0.45  # of the width; a shorter line of Chinese that ends without a mark is a heading
_NO_BEGINNING = "…，。、；：！？,.;:!?"
_RAGGED = 6  # columns, and a tenth of fewer than sixty, that people leave who wrap by hand


def paragraphs(text: str, language: str) -> list[str]:
    """The paragraphs in order, each one line, stripped of white space."""
    blocks = _BLANK_LINES.split(_LINE_BREAKS.sub("\n", text))
    return [paragraph for block in blocks for paragraph in _joined(block.expandtabs(), language)]


@dataclass(frozen=True)
class _Block:
    """What the lines between two empty ones have in common; `width` in columns, `length` in characters.

    wide: Chinese or Japanese, which some wrap by columns and some by characters.
    listed: each of its lines stands alone; verse: most begin anew; prose: most go on. items: the places of the lines
    that begin with a number or a letter of a list.
    """

    width: int
    length: int
    wide: bool
    listed: bool
    verse: bool
    prose: bool
    items: frozenset[int]

    def is_filled(self, line: str, following: str) -> bool:
        """Whether the next word would not have fitted into the line."""
        word = following[0] if _WITHOUT_SPACES.match(following) else following.split(maxsplit=1)[0]
        columns, ragged = _columns(line) + 1 + _columns(word), min(_RAGGED, self.width // 10)
        return columns > self.width - ragged or (self.wide and len(line) + len(word) > self.length)


def _joined(text: str, language: str) -> list[str]:
    lines = _dedented([line.rstrip() for line in text.split("\n") if line.strip()])
    pieces = [line.strip() for line in lines]
    block = _block(lines, pieces)
    for place, (line, following) in enumerate(pairwise(lines)):
        ended = place + 1 in block.items or _ends_with(line, following, block, language)
        after = pieces[place + 1]
        pieces[place] = f"{pieces[place]}\n" if ended else _before(pieces[place], after, block.wide, language)
    return [line for line in "".join(pieces).split("\n") if line]


def _dedented(lines: list[str]) -> list[str]:
    """The lines without the white space that all of them begin with; the first may have lost its own on the way."""
    margin = min(map(_indent, lines[1:]), default=0)
    return [line[min(margin, _indent(line)) :] for line in lines]


def _block(lines: list[str], pieces: list[str]) -> _Block:
    text = "".join(lines)
    width, length = max(map(_columns, lines), default=0), max(map(len, lines), default=0)
    wide = 3 * len(_WITHOUT_SPACES.findall(text)) >= len(text)
    small = [first.islower() for piece in pieces if not (first := _first(piece)).isdigit()]
    shape = _Block(width, length, wide, False, False, False, _items(pieces))
    wrapped = all(shape.is_filled(*pair) for pair in pairwise(lines))
    marked = [bool(_MARK_END.search(piece)) for piece in pieces]
    begun = not all(_first(piece).islower() for piece in pieces)  # "the fog comes / on little cat feet" never is
    listed = not wide and len(lines) > 2 and width < _LIST and not any(marked) and not (wrapped and begun)
    verse = not listed and _is_verse(pieces, marked, width, wide, wrapped)
    goes_on = any(small[1:]) and (2 * sum(small[1:]) >= len(small[1:]) or (wrapped and len(lines) > 3))
    prose = not listed and not verse and (wide or goes_on)
    return replace(shape, listed=listed, verse=verse, prose=prose)


def _items(lines: list[str]) -> frozenset[int]:
    """The lines that are a list's items: their numbers, or letters, follow each other, as no initials do."""
    places: set[int] = set()
    last: dict[tuple[str, ...], tuple[int, int]] = {}
    for place, line in enumerate(lines):
        if match := _NUMBERED_ITEM.match(line):
            before, number, behind = match.groups()
            kind = (before, "0" if number.isdigit() else "a" if number.islower() else "A", behind)
            value = int(number) if number.isdigit() else ord(number)
            if kind in last and value == last[kind][1] + 1:
                places |= {last[kind][0], place}
            last[kind] = place, value
    return frozenset(places)


def _ends_with(line: str, following: str, block: _Block, language: str) -> bool:
    """Whether a paragraph ends with the line."""
    text, after = line.strip(), following.strip()
    sentence_ended = bool(_SENTENCE_END.search(text))
    cut = _CUT_WORD.search(text) or (_CUT_RANGE.search(text) and after[0].isdigit())
    cut = cut or (sentence_ended and _ASIDE.match(after))
    if after[0] in CLOSING + _NO_BEGINNING or text[-1] in OPENING or cut or ends_with_abbreviation(text, after):
        return False
    if block.listed or _ITEM.match(after):
        return True
    if sentence_ended and (_SPEECH.match(after) or _indent(following) > _indent(line)):
        return True
    if block.verse:
        return not after[0].islower() or bool(_MARK_END.search(text))
    goes_on = _columns(line) >= _HEADING * block.width if block.wide else _first(after).islower()
    if (block.prose or block.width >= _SURE) and block.is_filled(line, after):
        return False
    if block.prose and not sentence_ended and not goes_on:
        goes_on = belong_together(text, after, language)
    return sentence_ended or not goes_on


def _first(text: str) -> str:
    """The first character of a line's words, or else of the line."""
    return text.lstrip(_BEGINNING)[:1] or text[:1]


def _is_verse(lines: list[str], marked: list[bool], width: int, wide: bool, wrapped: bool) -> bool:
    """Whether the lines are short ones that each begin anew."""
    if len(lines) < 2 or width > _VERSE or (wrapped and width >= _SURE):
        return False
    if wide:
        return all(marked) or not any(marked)
    begun = sum(not _first(line).islower() for line in lines)
    if begun == len(lines):
        return len(lines) > 2 or marked[0]
    return begun >= 0.75 * len(lines) and sum(marked) >= 0.75 * len(lines)


def _before(text: str, following: str, wide: bool, language: str) -> str:
    """A line as it stands before the next one, with a space, or as the first part of a word that was cut in two."""
    hyphenated, rest = _CUT_WORD.search(text), _LETTERS.match(following)
    if hyphenated and rest and following[0].islower():
        first, second = hyphenated[1], rest[0]
        if _ELIDED.search(text) and not _PRONOUN.match(second):
            return text[:-1]
        hyphens = _COMPOUND.search(text) or following[rest.end() : rest.end() + 1] == "-"
        compound = (
            is_common_word(first, language)
            and is_common_word(second, language)
            and (hyphens or not is_common_word(first + second, language))
        )
        return text if compound else text[:-1]
    unspaced = wide and not (_ASCII_WORD.match(text[-1]) and _ASCII_WORD.match(following))
    cut_range = text[-1] in "-–" and text[-2:-1].isalnum() and following[0].isalnum()  # 1990-|1995, Jean-|Paul
    return text if unspaced or cut_range else f"{text} "


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _indent(line: str) -> int:
    return _columns(line[: len(line) - len(line.lstrip())])
