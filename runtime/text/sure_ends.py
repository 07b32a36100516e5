"""Where a sentence, or a clause, is over whatever may follow: what a text that is still being written can be cut at.

Only what stands before a place counts. So "Dr." and "3." are no ends here, nor is anything within quotation marks or
brackets that are still open; `sentences.py`, which sees what follows, finds more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from runtime.text.languages import is_common_word
from runtime.text.readings.word_sets import words
from runtime.text.sentences import CLOSING, ends_with_abbreviation

_CLOSERS = rf"[{re.escape(CLOSING)}\"]*"
_ELSEWHERE = "\u061f\u06d4\u0964\u0965"  # how sentences end in Arabic, Urdu and Hindi
_END = re.compile(rf"(?:[.!?{_ELSEWHERE}]{_CLOSERS}(?=\s|$)|[。！？]+{_CLOSERS})")
_CLAUSE = re.compile(r"(?:[,;:](?=\s|$)|[，；：])")
_LAST_WORD = re.compile(r"(?:^|[\s\"“‘«(¿¡'’-])([^\W\d_]+)\W*$")
_WIDE_LETTER = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
# Words cut short with which a sentence may end or not, whatever language it is in.
_MAYBE = words("inc ltd corp co bros etc al jr sr esq est dept univ assn pty apr sept sec min max avg ext tel")
_LONG_ENOUGH = 4  # letters of a word that is not known; shorter ones may be abbreviations
_NEAR = 400  # characters; an older bracket was never meant to be closed
_PAIRS = ("()", "[]", "{}", "“”", "«»", "「」", "『』", "（）", "【】", "《》")
_TWICE = ('"', "**", "`")
_FIRST_CLAUSES = 8  # of a sentence, of which one may be long enough
_CLAUSE_WORDS = 5  # a clause may be spoken alone that has so many, or twice as many characters of Chinese


def sure_ends(text: str, language: str, start: int = 0) -> Iterator[int]:
    """Where sentences surely end, behind their marks, in a text whose beginning is that of a paragraph.

    start: only behind it. What follows an end, or a place that is none, changes nothing but at the end of the text.
    """
    for mark in _END.finditer(text, start):
        if _is_sure(text[max(0, mark.start() - _NEAR) : mark.start()], mark.group(), language):
            yield mark.end()


def sure_clause(text: str, language: str) -> int | None:
    """Where the first clause ends that is long enough to be spoken alone; None if the sentence ends before."""
    for mark in islice(_CLAUSE.finditer(text[:_NEAR]), _FIRST_CLAUSES):
        left = text[: mark.start()]
        if _END.search(left):
            return None
        long_enough = len(left.split()) >= _CLAUSE_WORDS or len(_WIDE_LETTER.findall(left)) >= 2 * _CLAUSE_WORDS
        if long_enough and _is_sure(left, ".", language):
            return mark.end()
    return None


def is_balanced(near: str) -> bool:
    """Whether no quotation, bracket, tag or mark of emphasis is open at the end of what stands near a place."""
    near = near[near.rfind("\n\n") + 1 :]
    if any(near.count(pair[0]) > near.count(pair[1]) for pair in _PAIRS):
        return False
    open_tag = near.rfind("<") > near.rfind(">") and near[near.rfind("<") + 1 :][:1] in "S/|"
    return not open_tag and not any(near.count(mark) % 2 for mark in _TWICE)


def _is_sure(left: str, mark: str, language: str) -> bool:
    """Whether a sentence is over with a mark, behind which quotations may close, after what stands near, left of it."""
    if not is_balanced(left + mark):
        return False
    if mark[0] in "!?":
        return len(mark) == 1  # “Really?” he asked.
    unlike_abbreviations = mark[0] in f"。！？{_ELSEWHERE}" or _WIDE_LETTER.match(left[-1:])
    return bool(unlike_abbreviations) or _is_whole_word(left, language)


def _is_whole_word(left: str, language: str) -> bool:
    """Whether what a full stop stands behind is a word, and cannot be one cut short, an initial or a number."""
    word = _LAST_WORD.search(left)
    if word is None or not left.endswith(word[1]) or (word[1].isupper() and len(word[1]) <= _LONG_ENOUGH):
        return False
    if any(ends_with_abbreviation(f"{left}.", following) for following in ("", "1", "m.")):
        return False
    small = word[1].lower()
    known = len(small) > 1 and is_common_word(small, language)
    return small not in _MAYBE and (known or len(small) >= _LONG_ENOUGH)
