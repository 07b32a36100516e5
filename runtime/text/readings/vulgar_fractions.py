"""Fractions, alone or behind a whole number: "½", "3/4", "2 1/2 km".

The sign ½ is always one. Two numbers and a slash are one only if it is proper, in lowest terms and of a denominator in
use, and nothing beside it speaks for a date, a metre, a rating or a page: "24/7", "9/11", "on 3/4" and "page 1/2" stay.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from math import gcd

from runtime.text.readings.lexicon import LEXICONS, Noun
from runtime.text.readings.numerals import before_noun, before_word, cardinal, ordinal
from runtime.text.readings.reading_rules import LETTER, Rule

_SLASH = "\N{FRACTION SLASH}"
_SIGN = re.compile(f"(?<![{LETTER}_])((?<=[0-9¼-¾⅐-⅞]) ?)?([¼-¾⅐-⅞])(?=([0-9])?)")
_DENOMINATORS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 32, 64, 100)
_NOT_BEHIND = {  # what a day and a month, or one of so many, stands behind
    "en": "on|since|until|till|page|part|step|day|slide|chapter|disc|game|round|Monday|Tuesday|Wednesday|Thursday"
    "|Friday|Saturday|Sunday",
    "es": "el|del|al|página|parte|paso|día|lunes|martes|miércoles|jueves|viernes|sábado|domingo",
    "fr": "le|du|au|page|partie|étape|jour|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche",
    "zh": "页|第|步",
}
_NOT_BEFORE = {
    "en": " (?:time|stars?|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\\b)",
    "es": " estrellas?",
    "fr": " étoiles?",
    "zh": " ?(?:[拍星页集日号]|[一-鿿]{1,3}节)",
}
_SPANISH = {2: "medio", 3: "tercio", 4: "cuarto", 100: "centésimo", 1000: "milésimo"}
_FRENCH = {2: "demi", 3: "tiers", 4: "quart"}
_FRENCH_FEMININE = ("heure", "journée", "finale", "livre", "tasse", "bouteille", "douzaine", "cuillère", "année")


def spelled(text: str) -> str:
    """The text with signs like ½ as numbers around a fraction slash, apart from the numbers beside them."""

    def numbers(sign: re.Match[str]) -> str:
        return f"{' ' * (sign[1] is not None)}{unicodedata.normalize('NFKC', sign[2])}{' ' * (sign[3] is not None)}"

    return _SIGN.sub(numbers, text)


def fraction_rules(language: str) -> Iterator[Rule]:
    """The rules of one language: mixed numbers, then fractions alone."""
    words = LEXICONS[language]
    units = "|".join(map(re.escape, sorted([*words.units, "%"], key=len, reverse=True)))
    before = rf"(?<![{LETTER}_0-9/#$€£¥{_SLASH}])(?<![0-9][.,:])"
    minus = "(-?)" if language == "zh" else r"((?<![\w)\]%])-|)"
    number = "([1-9][0-9]{0,3})"
    behind = rf"(?: ?({units})(?![{LETTER}_0-9²³/]))?(?![{LETTER}_0-9/{_SLASH}])(?![.,:–-][0-9])(?=( [{LETTER}]+)?)"
    no_span = "(?<![0-9][–-])"  # "the week of 3/4-3/10"
    joint = "[ -]" if language == "en" else " "
    space = "" if language == "zh" else " "
    # In one language a word stands apart from the number, in Chinese it does not.
    alone = "".join(f"(?<!{word}{space})" for word in _NOT_BEHIND[language].split("|"))
    alone += "".join(f"(?<!{word.capitalize()}{space})" for word in _NOT_BEHIND[language].split("|"))
    # Two models of one maker: "ALIX 2/3 boards".
    alone += rf"(?!(?<=[A-Z]{{3}} )[1-9]/[1-9] (?!cups|tazas|tasses)[{LETTER}]*[a-z]s(?![{LETTER}]))"
    said = _Fractions(language)
    yield rf"{before}(?<![0-9] ){minus}([0-9]{{1,3}}){joint}{number}([/{_SLASH}]){number}{behind}", said.read
    yield (
        rf"(?=-?[0-9]){alone}{before}{no_span}{minus}(){number}([/{_SLASH}]){number}(?!{_NOT_BEFORE[language]}){behind}",
        said.read,
    )


class _Fractions:
    """How one language says them."""

    def __init__(self, language: str) -> None:
        self._language, self._words = language, LEXICONS[language]
        self._space = "" if language == "zh" else " "

    def read(self, match: re.Match[str]) -> str:
        """The groups of a match: minus sign, whole number, numerator, slash, denominator, unit, the word behind."""
        minus, whole, upper, slash, lower, unit, word = match.groups()
        above, below = int(upper), int(lower)
        clear = above < below and below in _DENOMINATORS and gcd(above, below) == 1
        if below == 1 or not (clear or slash == _SLASH):
            return match[0]
        noun = self._words.units.get(unit) if unit else None
        if noun:
            said = self._measure(int(whole) if whole else None, above, below, noun)
        else:
            said = self._number(int(whole) if whole else None, above, below, (word or "").strip())
        if unit == "%":
            percent = self._words.percent
            said = f"{percent}{said}" if self._language == "zh" else f"{said} {percent}"
        return f"{self._words.minus}{self._space}{said}" if minus else said

    def _number(self, whole: int | None, above: int, below: int, word: str) -> str:
        language = self._language
        if language == "zh":
            return ("" if whole is None else f"{cardinal(whole, 'zh')}又") + self._parts(above, below)
        feminine = before_word(1, language, word) == "una" or word.removesuffix("s") in _FRENCH_FEMININE
        if whole is not None:
            return f"{before_word(whole, language, word)} {self._and(above, below, feminine)}"
        half = (above, below) == (1, 2)
        if half and language == "es" and before_word(1, language, word) != "uno":
            return "media" if feminine else "medio"
        if half and language == "fr" and feminine:
            return "une demi"
        return self._parts(above, below)

    def _measure(self, whole: int | None, above: int, below: int, noun: Noun) -> str:
        language = self._language
        if language == "zh":
            return self._number(whole, above, below, "") + noun.many
        if whole is None:
            return self._part_of(above, below, noun)
        if language == "en":
            return f"{cardinal(whole, 'en')} {self._and(above, below)} {noun.many}"
        counted = f"{before_noun(whole, language, noun.feminine)} {noun.one if whole == 1 else noun.many}"
        return f"{counted} {self._and(above, below, noun.feminine)}"

    def _part_of(self, above: int, below: int, noun: Noun) -> str:
        half = (above, below) == (1, 2)
        if self._language == "en":
            article = "an" if noun.one.startswith(("o", "i", "hour")) else "a"
            return f"half {article} {noun.one}" if half else f"{self._parts(above, below)} of {article} {noun.one}"
        if self._language == "es":
            return f"{self._half(noun.feminine)} {noun.one}" if half else f"{self._parts(above, below)} de {noun.one}"
        if half:
            return f"{'une' if noun.feminine else 'un'} demi {noun.one}"
        of = "d'" if noun.one[0] in "aeiouh" else "de "
        return f"{self._parts(above, below)} {of}{noun.one}"

    def _and(self, above: int, below: int, feminine: bool = False) -> str:
        """What is said behind a whole number: "and a half", "y media", "et trois quarts"."""
        joint = {"en": "and", "es": "y", "fr": "et"}[self._language]
        if (above, below) == (1, 2):
            return f"{joint} {self._half(feminine)}"
        return f"{joint} {self._parts(above, below)}"

    def _half(self, feminine: bool) -> str:
        if self._language == "en":
            return "a half"
        if self._language == "es":
            return "media" if feminine else "medio"
        return "demie" if feminine else "demi"

    def _parts(self, above: int, below: int) -> str:
        """ "three quarters", "dos tercios", "un demi", "四分之三"."""
        if self._language == "zh":
            return f"{cardinal(below, 'zh')}分之{cardinal(above, 'zh')}"
        name = {"en": _english, "es": _spanish, "fr": _french}[self._language](below)
        if above == 1:
            return f"{cardinal(1, 'en') if self._language == 'en' else 'un'} {name}"
        many = "halves" if name == "half" else name if name.endswith("s") else f"{name}s"
        return f"{before_noun(above, self._language)} {many}"


def _english(below: int) -> str:
    return {2: "half", 4: "quarter"}.get(below) or ordinal(below, "en").removeprefix("one ")


def _spanish(below: int) -> str:
    if below <= 10 or below in _SPANISH:
        return _SPANISH.get(below) or ordinal(below, "es")
    letters = unicodedata.normalize("NFD", cardinal(below, "es").replace(" y ", "i").replace(" ", ""))
    return "".join(c for c in letters if not unicodedata.combining(c)) + "avo"


def _french(below: int) -> str:
    return _FRENCH.get(below) or ordinal(below, "fr")
