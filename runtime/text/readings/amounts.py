"""An amount as written, with its separators, and how it is said: "1,234.5", "1 234,5", ".5", "1,00,000"."""

from __future__ import annotations

import re

from runtime.text.readings.lexicon import LEXICONS, Lexicon, Noun
from runtime.text.readings.measure_words import is_counted
from runtime.text.readings.numerals import before_noun, before_word, cardinal, digits, fraction, is_code

_MILLION = 1_000_000
_MOST_DIGITS = 15  # nobody says longer numbers, and cn2an stops at 16 digits


class Amounts:
    """The amounts of one language: `pattern` and `grouped` find them, the methods say them.

    `beside` is for those next to a currency or a unit, where a space may group digits in any language, and a comma does
    in Spanish if three digits follow.
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self.words: Lexicon = LEXICONS[language]
        self.space = self.words.space
        separators = [f"[{c}’]" if c == "'" else re.escape(c) for c in self.words.thousands]
        # Two commas can be nothing else, whatever the language groups with.
        in_commas = (
            r"[0-9]{1,3}(?:,[0-9]{3}){2,4}(?![0-9,]|\.[0-9]*,)|[1-9][0-9]{0,2},[0-9]{3}(?=\.[0-9]{1,2}(?![0-9]))"
        )
        groups = [rf"[0-9]{{1,3}}(?:{c}[0-9]{{3}}){{1,4}}(?![0-9]|{c}[0-9])" for c in separators]
        if language == "en":
            groups.append(r"[1-9][0-9]?(?:,[0-9]{2}){1,3},[0-9]{3}(?![0-9,])")  # lakh and crore
        if language in ("es", "fr"):
            groups.append(in_commas)
        self._point = f"[{re.escape(self.words.decimal)}]"
        self.grouped = "|".join(groups)
        in_spaces = r"[1-9][0-9]{0,2}(?: [0-9]{3}){1,3}(?![0-9]| [0-9])"
        decimals = rf"(?:{self._point}[0-9]+)?"
        self.pattern = rf"(?:(?:{self.grouped}|[0-9]+){decimals}|(?<![0-9])\.[0-9]+)"
        self.beside = rf"(?:(?:{self.grouped}|{in_spaces}|[0-9]+){decimals}|(?<![0-9])\.[0-9]+)"
        self._parts = re.compile(rf"({self.grouped}|{in_spaces}|[0-9]*)(?:{self._point}([0-9]+))?")
        self._dollars = re.compile(r"[1-9][0-9]{0,2},[0-9]{3}")

    def split(self, written: str) -> tuple[str, str]:
        """An amount -> what stands before its decimal sign, separators and all, and the digits after it."""
        match = self._parts.fullmatch(written)
        assert match is not None
        whole = match[1] or "0"
        # Alone, "1,500" of "1,500.50" would be a decimal in languages that group with points.
        return whole if "," in self.words.thousands else whole.replace(",", "."), match[2] or ""

    def is_ambiguous(self, written: str) -> bool:
        """Whether a comma may be Mexico's, which groups, or Spain's, which is a decimal sign: "1,234".

        So may one be before three noughts in French, which nobody writes behind a decimal sign: "31,000".
        """
        if self.language == "fr" and not written.endswith(",000"):
            return False
        return self.language in ("es", "fr") and bool(self._dollars.fullmatch(written))

    def value(self, written: str) -> float:
        """What it comes to."""
        whole, decimals = self.split(written)
        return float(f"{_ungrouped(whole)}.{decimals or 0}")

    def quantity(self, written: str, counted: bool = False) -> int | None:
        """The number, if it is a whole one that is read as such; `counted` if something to count stands beside it."""
        whole, decimals = self.split(written)
        plain = _ungrouped(whole)
        code = whole.startswith("0") and len(whole) > 1 if counted else is_code(whole)
        return None if decimals or code or len(plain) > _MOST_DIGITS else int(plain)

    def number(self, written: str, counted: bool = False) -> str:
        """An amount in words."""
        whole, decimals = self.split(written)
        quantity = self.quantity(whole, counted)
        said = digits(_ungrouped(whole), self.language) if quantity is None else cardinal(quantity, self.language)
        if not decimals:
            return said
        if written.startswith(".") and self.language == "en":
            said = ""
        return self.space.join(filter(None, (said, self.words.point, fraction(decimals, self.language))))

    def counted(self, written: str, noun: Noun) -> str:
        """An amount and its noun, in the number that the language wants."""
        quantity = self.quantity(written, counted=True)
        if quantity is None:
            few = self.language == "fr" and self.value(written) < 2
            return f"{self.number(written, counted=True)}{self.space}{noun.one if few else noun.many}"
        one = quantity == 1 or (self.language == "fr" and quantity == 0)
        of = self.of(noun) if quantity and quantity % _MILLION == 0 else ""
        said = before_noun(quantity, self.language, noun.feminine)
        return f"{said}{self.space}{of}{noun.one if one else noun.many}"

    def times(self, written: str, magnitude: Noun) -> str:
        """An amount of thousands, millions, …: "five million", "un millón", "1,5 million" in French."""
        value = self.value(written)
        one = value < 2 if self.language == "fr" else value == 1
        if self.language == "zh" and written == "2":
            return f"两{magnitude.one}"
        quantity = self.quantity(written)
        if self.language in ("es", "fr") and quantity == 1 and magnitude.one in ("mil", "mille", "mil millones"):
            return magnitude.one
        said = self.number(written) if quantity is None else before_noun(quantity, self.language)
        return f"{said}{self.space}{magnitude.one if one else magnitude.many}"

    def of(self, noun: Noun) -> str:
        """Spanish and French count millions *of* something."""
        if self.language == "fr":
            return "d'" if noun.many[0] in "aeéhiou" else "de "
        return "de " if self.language == "es" else ""

    def plain(self, written: str, behind: str) -> str:
        """An amount in words, before the words of the text that stand behind it."""
        quantity = self.quantity(written, counted=_is_counted(behind, self.language))
        return self.number(written) if quantity is None else before_word(quantity, self.language, behind)


def _ungrouped(written: str) -> str:
    return "".join(filter(str.isdigit, written))


def _is_counted(behind: str, language: str) -> bool:
    """Whether a noun in the plural, or a Chinese measure word, follows."""
    if language == "zh":
        return is_counted(behind)
    word = behind.partition(" ")[0]
    return (
        word.islower() and (word.endswith(("s", "x")) or word == "people") and len(word) > 3 and word not in _NO_NOUNS
    )


_NO_NOUNS = (
    "this",
    "does",
    "always",
    "thus",
    "pues",
    "menos",
    "entonces",
    "después",
    "tras",
    "dans",
    "sous",
    "vers",
    "mais",
)
