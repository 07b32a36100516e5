"""How numbers and the symbols around them are read: dates, times, money, measures, ordinals, ranges, plain numbers.

A language's rules are applied one after another, each kind from a module of its own; what one rule reads holds no digit
that a later one could read again. Digits that no rule reads whole, or that hang on a letter ("MP3", "v1.2.3"), stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from runtime.text.readings.amounts import Amounts
from runtime.text.readings.chinese_counting import sign_rules
from runtime.text.readings.chinese_identifiers import identifier_rules, version_rules
from runtime.text.readings.clock import time_rules
from runtime.text.readings.computing import computing_rules
from runtime.text.readings.contexts import context_rules
from runtime.text.readings.dates import date_rules, month_rules
from runtime.text.readings.formulas import formula_rules, times_rules
from runtime.text.readings.joints import joint_rules
from runtime.text.readings.lexicon import LEXICONS
from runtime.text.readings.quantities import quantity_rules
from runtime.text.readings.reading_rules import Reading, Rule, shown
from runtime.text.readings.roman_numerals import roman_rules
from runtime.text.readings.romance import romance_rules
from runtime.text.readings.telephones import telephone_rules
from runtime.text.readings.vulgar_fractions import fraction_rules, spelled
from runtime.text.readings.web_addresses import split_addresses

_VARIANTS = str.maketrans(
    dict(zip("０１２３４５６７８９％￥＄＋－～＝", "0123456789%¥$+-~=", strict=True))
    | {"℃": "°C", "℉": "°F", "㎡": "m²", "‑": "-", "‐": "-", "\u00a0": " ", "\u202f": " ", "\u2009": " "}
)
_FULL_WIDTH = re.compile("(?<=[0-9])[：．／（）](?=[0-9])")
_HALF = dict(zip("：．／（）", ":./()", strict=True))
_DIGIT = re.compile("[0-9¼-¾⅐-⅞]")
_HELD_GROUP = re.compile("(?<=[0-9])[\u00a0\u202f\u2009](?=[0-9]{3}(?![0-9]))")
_UNREAD = re.compile(r"[0-9¼-¾⅐-⅞]|www\.|://|@")
_COMPUTING = re.compile(
    r"""["'’′$*+°]|\.[0-9.]|[a-z] -[0-9]|[0-9]-[\w-]{1,60}\.|1-[89]"""
    r"|chmod|(?i:ports?) |[Ff]light |[45]0[1-9]|7[0-8]7|RFC|IEEE|ISO|IEC|ANSI|(?<=[0-9]) ?[x×]"
)
_FRACTION = re.compile("[0-9][/⁄][0-9]")
_SEVEN_DIGITS = re.compile(r"[0-9](?:[^0-9]{0,2}[0-9]){6}")
_MONTH = re.compile("|".join(f"{name}|{name.lower()}|{name.upper()}" for name in (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
)))  # fmt: skip
_ROMAN = re.compile(r"\b[IVXLC]+(?:\b|[a-zèᵉ]{1,4}\b)")
_FORMULA = re.compile(r"""[^\w\s.,;:!?"'’()$%€£-]|[²³]|[0-9](?:['’]| ?[xejf]|-[a-z])|50-50""")

_MOST_ROUNDS = 4  # ordinary text needs one

_Rules = list[tuple[re.Pattern[str], Reading]]


def read_numbers(text: str, language: str) -> str:
    """The text with its numbers and addresses in words; a language without a lexicon keeps them.

    A text in which nothing is read comes back as it is. Reading twice is reading once.
    """
    if language not in LEXICONS:
        return text
    for _ in range(_MOST_ROUNDS):
        said = "".join(
            piece if is_address else _read(piece, language) for piece, is_address in split_addresses(text, language)
        )
        if said == text or not _UNREAD.search(said):
            return said
        text = said  # what was read may leave a number alone that stood beside it
    return text


def _read(text: str, language: str) -> str:
    words, numbers = _rules(language)
    if _ROMAN.search(text):
        for pattern, reading in words:
            text = pattern.sub(reading, text)
    if language == "en":  # a blank that must not break keeps the groups of one number together
        text = _HELD_GROUP.sub(",", text)
    if not _DIGIT.search(text := text.translate(_VARIANTS)):
        return text
    text = spelled(_FULL_WIDTH.sub(lambda sign: _HALF[sign[0]], text))
    for gate, rules in numbers:
        if gate.search(text):
            for pattern, reading in rules:
                text = pattern.sub(reading, text)
    return shown(text)


@cache
def _rules(language: str) -> tuple[_Rules, list[tuple[re.Pattern[str], _Rules]]]:
    """One language's rules for letters; then those for digits, each kind with what a text must have to need them."""
    amounts = Amounts(language)
    names, versions = ([*sign_rules(), *identifier_rules()], version_rules()) if language == "zh" else ((), ())
    numbers = [
        (_DIGIT, [*romance_rules(amounts)]),
        (_COMPUTING, [*computing_rules(language)]),
        (_DIGIT, [*names, *context_rules(language), *date_rules(language), *versions]),
        (_MONTH, [*month_rules(language)]),
        (_FRACTION, [*fraction_rules(language)]),
        (_SEVEN_DIGITS, [*telephone_rules(language)]),
        (_DIGIT, [*time_rules(language)]),
        (_FORMULA, [*formula_rules(amounts)]),
        (_DIGIT, [*joint_rules(amounts), *times_rules(amounts), *quantity_rules(amounts)]),
    ]
    return _compiled(roman_rules(language)), [(gate, _compiled(rules)) for gate, rules in numbers]


def _compiled(rules: Iterable[Rule]) -> _Rules:
    return [(re.compile(pattern), reading) for pattern, reading in rules]
