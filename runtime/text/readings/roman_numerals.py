"""Roman numerals where they are clear: beside words for parts of works, wars and centuries, and behind rulers' names.

In capitals only. What could be a letter, a word or an abbreviation is left alone: C, D, L and M by themselves, all that
holds an M or a D (MIX, CD, DVD), and in English every I that could be the pronoun.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from runtime.text.readings.eras import century_rules, full_stop, with_era
from runtime.text.readings.lexicon import LEXICONS, alternatives, any_case
from runtime.text.readings.numerals import cardinal, ordinal
from runtime.text.readings.reading_rules import LETTER, Reading, Rule

_ONES = "(?:IX|IV|V?I{0,3})"
_ROMAN = rf"(?!L(?![IVX]))(?:C{{0,2}}(?:XC|XL|LX{{0,3}}|X{{1,3}}){_ONES}|IX|IV|VI{{0,3}}|I{{1,3}})"
_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
_END = rf"(?![{LETTER}_0-9])(?!['’](?!s\b))"
_NUMERAL = rf"({_ROMAN}){_END}"
_NO_INITIAL = r"(?![VX](?:\. ?| )[A-Z])"  # "Francis X. Bushman"
# Behind the pronoun a verb would follow, or a comma ("for Mary I, too, came").
_LAST = r"(?=[.;:!?)\]]|$|\n| of |,? Scene )"


def roman_rules(language: str) -> Iterator[Rule]:
    """The rules of one language; none for Chinese, which has its own numerals."""
    if language == "en":
        yield from _english()
    elif language == "es":
        yield from _spanish()
    elif language == "fr":
        yield from _french()
    if language in ("es", "fr"):
        yield from century_rules(language)
        written = LEXICONS[language].before_numbers
        yield (
            rf"(?<![{LETTER}0-9_.])({alternatives(written)}) {_NUMERAL}",
            lambda m: f"{written[m[1]]} {cardinal(_value(m[2]), language)}",
        )


def _english() -> Iterator[Rule]:
    words = LEXICONS["en"].context

    def ruler(match: re.Match[str]) -> str:
        return f"{match[1]}the {ordinal(_value(match[2]), 'en')}"

    no_pronoun = rf"(?!I{_END})"
    yield rf"\b(World War ){_NUMERAL}", _cardinal("en")
    yield rf"\b((?:{any_case(words['parts'])}) ){no_pronoun}{_NUMERAL}", _cardinal("en")
    yield rf"\b((?:{words['parts']}) )(I){_LAST}", _cardinal("en")
    yield rf"\b((?:{words['rulers']}) ){_NO_INITIAL}{no_pronoun}{_NUMERAL}", ruler
    yield rf"\b((?:{words['rulers']}) )(I){_LAST}", ruler
    yield rf"\b{no_pronoun}({_ROMAN})(?:th|st|nd|rd)?(?= centur(?:y|ies)\b)", lambda m: ordinal(_value(m[1]), "en")


def _spanish() -> Iterator[Rule]:
    words = LEXICONS["es"].context

    def said(numeral: str, suffix: str = "") -> str:
        value = _value(numeral)
        return ordinal(value, "es", suffix) if value <= 10 else cardinal(value, "es")

    yield rf"(?<![{LETTER}.])[Ss](s?)\. (?={_NUMERAL})", lambda m: f"siglo{m[1]} "
    row = rf"{_ROMAN}(?:(?:, | y | al | a |-|–){_ROMAN}{_END})*"
    yield with_era(rf"(?:(?<=\by )|(?<=\bel )|(?<=\bal )|(?<=\bdel )){_NUMERAL}", said, "es")
    yield rf"\b((?i:siglos?) )({row}){_END}", lambda m: m[1] + re.sub(_ROMAN, lambda n: said(n[0]), m[2])
    yield rf"\b((?:{any_case(words['parts'])}) ){_NUMERAL}", _cardinal("es")
    yield rf"\b((?:{words['rulers']}) ){_NO_INITIAL}{_NUMERAL}", lambda m: m[1] + said(m[2])
    yield rf"\b((?:{words['queens']}) ){_NO_INITIAL}{_NUMERAL}", lambda m: m[1] + said(m[2], "ª")
    yield rf"\b{_NUMERAL}(?= (?i:{words['events']})\b)", lambda m: ordinal(_value(m[1]), "es", "er")
    yield rf"\b{_NUMERAL}(?= (?i:{words['feminine_events']})\b)", lambda m: ordinal(_value(m[1]), "es", "ª")


def _french() -> Iterator[Rule]:
    words = LEXICONS["fr"].context

    def ruler(match: re.Match[str]) -> str:
        first = "première" if re.match(words["queens"], match[1]) else "premier"
        return match[1] + (first if match[2] == "I" else cardinal(_value(match[2]), "fr"))

    yield rf"\b({_ROMAN}(?:er|e|ᵉ|ème)) s\.(?![{LETTER}])", lambda m: f"{m[1]} siècle{full_stop(m)}"
    yield rf"\b(I)(er|re){_END}", lambda m: ordinal(1, "fr", m[2])
    yield rf"\b(?!I[eèiᵉ])({_ROMAN})(?:e|ᵉ|ème|ième){_END}", lambda m: ordinal(_value(m[1]), "fr")
    yield rf"\b((?:{any_case(words['parts'])}) ){_NUMERAL}", _cardinal("fr")
    yield rf"\b((?:{words['rulers']}|{words['queens']}) ){_NO_INITIAL}{_NUMERAL}", ruler


def _cardinal(language: str) -> Reading:
    """What stands before a numeral, and its number."""
    return lambda match: match[1] + cardinal(_value(match[2]), language)


def _value(numeral: str) -> int:
    values = [_VALUES[letter] for letter in numeral]
    return sum(-value if value < after else value for value, after in zip(values, [*values[1:], 0], strict=True))
