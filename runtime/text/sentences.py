"""Where a paragraph may be cut: after its sentences, after their clauses and, if necessary, between words.

sentencex finds the sentences. Some of its boundaries are wrong: after an abbreviation or an initial, and where the text
continues in lower case. And nothing that is read as a unit is cut: the readings themselves decide, by whether they read
the whole differently from its two pieces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate

import sentencex

from runtime.text.readings.lexicon import LEXICONS
from runtime.text.readings.readings import read_numbers

_WORDS_ACROSS = 6  # on either side of a cut; no reading rule spans more
_SEEN = 80  # characters
_PIECE, _SURE = 4096, 3072  # characters
OPENING = "“‘«「『（(【《〈[{¿¡"
CLOSING = "»”’」』）)】》〉]}"
_SPACED = re.compile(r"[?!;:%»”’」』）)\]…]")  # French has a space before some of these
_WORD = re.compile(r"\S+\s*")

# After these a sentence goes on, whatever stands behind them.
_BEFORE_A_NAME = (
    "mr|mrs|ms|dr|dres|drs|prof|st|ste|sr|sra|srta|sres|sras|dña|fr|ud|uds|vd|vds|mme|mmes|mm|mlle|mlles|mgr|gen|gral"
    "|col|cnel|sgt|lt|capt|cap|cmdr|rev|hon|pres|gov|sen|rep|mt|ft|vs|e\\.g|i\\.e|cf|p\\. ?ej|p\\. ?ex|viz|approx|aprox"
    "|ca|env|av|avda|ave|bd|boul|cía|excmo|ilmo|tte|lic|ing|arq|dpto|depto|hr|fam|bzw"
    "|z\\. ?b|d\\. ?h|u\\. ?s|u\\. ?k|ee\\. ?uu"
)
# And after these if a number follows.
_BEFORE_A_NUMBER = (
    "no|nos|nr|nrs|núm|núms|num|pp?|págs?|figs?|arts?|caps?|chap|vols?|secc?|tel|tél|ext|jan|feb|mar|apr|jun|jul|aug|sept?|oct"
    "|nov|dec|ene|abr|ago|dic|janv|févr|avr|juil|déc|eq|tab|vv?|ch|tomo|bibl|op|l|t"
)
_NAMED = re.compile(rf"(?<![\w.])(?:{_BEFORE_A_NAME})\.\s*$", re.IGNORECASE)
_NUMBERED = re.compile(rf"(?<![\w.])(?:{_BEFORE_A_NUMBER}|n[º°])\.?\s*$", re.IGNORECASE)
_INITIAL = re.compile(r"(?:^|[\s.(«“\"'-])[A-ZÀ-Þ]\.\s*$")
_CLOSERS = re.compile(rf"\s*[{re.escape(CLOSING)}]+\s*")
_OPENERS = re.compile(rf"[{re.escape(OPENING)}]\s*$")
_FIRST_LETTER = re.compile(r"[\W_]*([^\W_])")
_BETWEEN_WORDS = re.compile(r"\s.|.\s|[\u2e80-\u9fff\uff00-\uffef].|.[\u2e80-\u9fff\uff00-\uffef]", re.DOTALL)
_WIDE_END = re.compile(r"[。！？]\W*$")
_CLAUSE = re.compile(
    rf"(?:[,;:，；：、。！？)]|[…–—]+)[{re.escape(CLOSING)}]*(?:\s+|(?<=[…—])|(?<=[，；：、。！？])(?![^\W\u2e80-\u9fff]))[{re.escape(CLOSING)}]*"
)
_MISSED = re.compile(r"(?:\.[\"”’)\]]+|\b(?:[Nn]o|[Ee]tc)\.)\s+(?=[A-ZÀ-Þ])|…+(?=[\u3400-\u9fff])")  # by sentencex
_SHORT = re.compile(r"\b[adp]\.\s*$", re.IGNORECASE)  # a. m., p. m., a. C., d. C.
_NUMERAL = re.compile(r"(?:[IVXL]{2,}|[VX])\b(?!\.)")  # World War II
_LIST_NUMBER = re.compile(r"[0-9][,)]\s*$")
_READ = re.compile(r"[0-9０-９]|\b[IVXLCDM]+\b")  # what every reading begins with, or stands behind
_MONTHS = {
    code: frozenset(name.lower() for month in words.months for name in (month, month[:3])) | {"de", "of"}
    for code, words in LEXICONS.items()
}


def sentences(paragraph: str, language: str) -> Iterator[str]:
    """The sentences of a paragraph with the white space after them; joined they are the paragraph."""
    small = paragraph.islower()
    begun = 0
    for end in sorted({*_found(paragraph, language), *map(re.Match.end, _MISSED.finditer(paragraph))}):
        cut = _beside_marks(paragraph, end)
        if cut > begun and (
            cut == len(paragraph) or _ends(paragraph[begun:cut], paragraph[cut : cut + _SEEN], language, small)
        ):
            yield paragraph[begun:cut]
            begun = cut
    if begun < len(paragraph):
        yield paragraph[begun:]


def _found(paragraph: str, language: str) -> Iterator[int]:
    """Where sentencex sees sentences end.

    Its time grows with the square of what it is given: it is given pieces, each from where a sentence begins, and what
    it says of the last part of a piece, whose quotations may be cut, does not count.
    """
    start = 0
    while start < len(paragraph):
        piece = paragraph[start : start + _PIECE]
        last = start + len(piece) == len(paragraph)
        ends = [start + end for end in accumulate(map(len, sentencex.segment(language, piece)))]
        sure = ends if last else [end for end in ends if end <= start + _SURE]
        yield from sure
        start = len(paragraph) if last else sure[-1] if sure else start + _SURE


def clauses(sentence: str) -> Iterator[str]:
    """The clauses of a sentence; joined they are the sentence."""
    begun = 0
    for mark in _CLAUSE.finditer(sentence):
        yield sentence[begun : mark.end()]
        begun = mark.end()
    if begun < len(sentence):
        yield sentence[begun:]


def ends_with_abbreviation(left: str, right: str) -> bool:
    """Whether the full stop at the end of `left` is that of a word cut short, which belongs to what follows."""
    left = left[-_SEEN:]
    numbered = right[:1].isdigit() and _NUMBERED.search(left)
    parted = right[:2].lower() in ("m.", "c.") and _SHORT.search(left)
    return bool(numbered or parted or _NAMED.search(left) or _INITIAL.search(left))


def belong_together(left: str, right: str, language: str, loosely: bool = True) -> bool:
    """Whether a cut between the two pieces would split what is read, or said, as a unit.

    loosely: also between a number and any word beside it.
    """
    left = "".join(_WORD.findall(left[-_SEEN:])[-_WORDS_ACROSS:])
    right = "".join(_WORD.findall(right[:_SEEN])[:_WORDS_ACROSS])
    if not left or not right:
        return True
    if left.rstrip()[-1] in OPENING or _SPACED.match(right) or ends_with_abbreviation(left, right):
        return True
    last, first = left.split()[-1], right.split()[0]
    if _are_numbers(last, first) or (loosely and last[-1].isalnum() and _of_one_number(last, first, language)):
        return True
    if not _READ.search(left) and not _READ.search(right):
        return False
    return _read_as_one(left, right, language)


@lru_cache(4096)
def _read_as_one(left: str, right: str, language: str) -> bool:
    return read_numbers(left + right, language) != read_numbers(left, language) + read_numbers(right, language)


def _are_numbers(last: str, first: str) -> bool:
    """Whether both words are numbers, as in "1 234", "17 h 30", "March 14, 2026", or a name and its numeral."""
    if first[0].isdigit():
        return last[-1].isdigit() or last == "h" or bool(_LIST_NUMBER.search(last))
    return last[0].isupper() and last.isalpha() and bool(_NUMERAL.match(first))


def _of_one_number(last: str, first: str, language: str) -> bool:
    """Whether two words without a mark between them may be a number and its noun, or parts of a date."""
    months = _MONTHS.get(language, frozenset())
    dated = first.strip(".,").lower() in months and (last.lower() in months or last[0].isdigit())
    return last[-1].isdigit() or first[0].isdigit() or dated


def _beside_marks(paragraph: str, end: int) -> int:
    """The sentence's end with the marks that close it on its side, and those that open the next one on the other."""
    closing = _CLOSERS.match(paragraph, end)
    if closing:
        return closing.end()
    opening = _OPENERS.search(paragraph, max(0, end - _SEEN), end)
    return opening.start() if opening else end


def _ends(left: str, right: str, language: str, small: bool) -> bool:
    """Whether a sentence ends between the two; `small`: the paragraph has no capitals to tell it."""
    if not _BETWEEN_WORDS.fullmatch(left[-1] + right[0]):
        return False
    following = _FIRST_LETTER.match(right)
    if following and following[1].islower() and not small and not _WIDE_END.search(left):
        return False
    return not belong_together(left, right, language)
