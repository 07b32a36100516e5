"""Telephone numbers in their usual written forms, read digit by digit, in French by pairs where it is written in pairs.

A form is taken only where digits in it are nothing else: spans of years, scores, sums and dates have other ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from runtime.text.readings.lexicon import LEXICONS, any_case
from runtime.text.readings.numerals import cardinal, digits
from runtime.text.readings.reading_rules import LETTER, Rule

_BEFORE = rf"(?<![{LETTER}_0-9.+*/=×÷-])(?<![*/=×÷0-9] )"
_AFTER = rf"(?![{LETTER}_0-9-])(?![.,/:][0-9])(?! ?[=*/×÷%€$£¥])"
_FEWEST_DIGITS, _MOST_DIGITS = 7, 15  # E.164 has at most 15
_ROUND = re.compile(r".*[^0-9]000")  # "1 200 000" is an amount
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}|[0-9]{1,2}-[0-9]{1,2}-[0-9]{4}")
_SIGNED_AMOUNT = re.compile(r"\+[0-9]{1,3}(?: [0-9]{3}){1,2}")

# What a telephone's number stands behind, in whatever form it is written: a word, and what may come between.
_ANNOUNCED = {
    "en": (
        "telephone|phone|tel|mobile|cell|fax|whatsapp|call|dial|text",
        r"(?: number|[.:]| is| at| on| me at| me on| us at| us on)*",
    ),
    "es": (
        "tel[ée]fono|tel|tfno|m[óo]vil|celular|fax|whatsapp|llama|llame|llamar|llamen|marca|marque",
        r"(?:[.:]| es| al?)*",
    ),
    "fr": (
        "t[ée]l[ée]phone|t[ée]l|portable|mobile|fax|whatsapp|appelez|appeler|composez",
        r"(?:[.:]| est| au| le)*",
    ),
    "zh": ("电话|手机|热线|传真|拨打|致电", "(?:号码|[:是为])*"),
}
_FORMS = {
    "en": [
        r"(?:1[ .-])?[0-9]{3}[ .-][0-9]{3}[ .-][0-9]{4}",  # North America: area, exchange, line
        r"(?<!IEEE )(?<!ISO )(?<!ANSI )(?<!IEC )[0-9]{3}-[0-9]{4}",  # no standard's year
    ],
    "es": [
        r"[6-9][0-9]{2} [0-9]{3} [0-9]{3}(?=[.,;:!?)\n]| ?…|$| (?:o|u|y|para|por|si|antes|en horario)\b)",
        r"[6-9][0-9]{2}(?: [0-9]{2}){3}",
        r"9[0-9] [0-9]{3} [0-9]{2} [0-9]{2}",
    ],
    "fr": [r"0 [89][0-9]{2}(?: [0-9]{3}){2}", r"0 [89][0-9]{2}(?: [0-9]{2}){3}"],
    "zh": [r"1[3-9][0-9][ -][0-9]{4}[ -][0-9]{4}", r"0[0-9]{2,3}-[0-9]{7,8}"],
}
_AREA_IN_PARENTHESES = r"(?:(?:\+|00)?[0-9]{1,3}[ .-]?)?\([0-9]{2,4}\)[ -]?[0-9]{3,4}[ .-]?[0-9]{4}"
_ANYWHERE = [
    r"\+[0-9]{1,3}(?:[ .-]?[0-9]{1,4}){2,6}",  # the world: country code first
    r"[0-9]+(?:-[0-9]+){2,}",
    r"0[1-9](?:[ .-][0-9]{2}){4}(?! [0-9]{2}(?![0-9]))",  # France; a longer row is a lottery's
    r"0[0-9]{1,4}(?:[ -][0-9]{3,4}){1,2}",  # with a trunk zero: Britain, Italy, Japan
]


def telephone_rules(language: str) -> Iterator[Rule]:
    """The rules of one language, the surest first."""
    read = partial(_read, language=language)
    for form in [_AREA_IN_PARENTHESES, *_FORMS[language], *_ANYWHERE]:
        yield f"{_BEFORE}{form}{_AFTER}", read
    announced, between = _ANNOUNCED[language]
    word = "" if language == "zh" else r"\b"
    lead = f"{word}(?:{any_case(announced)})(?i:{between}) ?"
    yield (
        rf"({lead})(?<![{LETTER}_0-9])([0-9]{{2,11}}(?:[ .-][0-9]{{2,8}}){{0,5}}){_AFTER}",
        lambda match: match[1] + _said(match[2], language) if _is_number(match[2], language) else match[0],
    )


def _read(match: re.Match[str], language: str) -> str:
    return _said(match[0], language) if _is_number(match[0], language) else match[0]


def _is_number(written: str, language: str) -> bool:
    """Whether as many digits as a telephone's, and not an amount in groups or two round ends of a span."""
    groups = re.findall("[0-9]+", written)
    if not _FEWEST_DIGITS <= sum(map(len, groups)) <= _MOST_DIGITS:
        return False
    if _ROUND.fullmatch(written) or _DATE.fullmatch(written):
        return False
    if len(groups) == 2 and groups[0].endswith("0") and groups[1].endswith("00"):
        return False  # "100-2000 people"
    return not (" " in LEXICONS[language].thousands and _SIGNED_AMOUNT.fullmatch(written))


def _said(written: str, language: str) -> str:
    groups = re.findall("[0-9]+", written)
    pairs = language == "fr" and sum(len(group) == 2 for group in groups) >= 4
    said = (
        cardinal(int(group), language) if pairs and len(group) == 2 and group[0] != "0" else digits(group, language)
        for group in groups
    )
    plus = "加" if language == "zh" else f"{LEXICONS[language].plus} "
    return (plus if written[0] == "+" else "") + ", ".join(said)
