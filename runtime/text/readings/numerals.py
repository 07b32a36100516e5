"""Numbers as words: num2words for English, Spanish and French, cn2an for Chinese, and what neither does."""

from __future__ import annotations

import re
from functools import lru_cache

import cn2an
from num2words import num2words

from runtime.text.readings.lexicon import LEXICONS

_MOST_DIGITS = 9  # more, without separators, are no quantity that anybody writes down
_ADJECTIVES = ("gran", "mejor", "peor", "mayor", "menor")
# Feminine, but "un" stands before their first letter's stress.
_WITH_UN = ("águila", "agua", "alma", "ancla", "arma", "arpa", "aula", "ave", "hacha", "hada", "área", "ala", "ama")
_STREET = r"(?:rue|avenue|place|allée|route|impasse|cours) (?:de|du|des|la|[A-ZÀ-Þ])"
_READ_SINGLY = 7  # so many digits without separators are a code or a telephone number, unless they are round


@lru_cache(maxsize=4096)
def cardinal(number: int, language: str, feminine: bool = False) -> str:
    """12 -> "twelve"; feminine where the language tells it apart ("una", "vingt et une", "doscientas")."""
    if language == "zh":
        return str(cn2an.an2cn(str(number), "low"))
    words = str(num2words(number, lang=language)).replace(",", "")
    if language == "es":
        words = re.sub(r"\buno(?= (?:mil|billon))", "un", re.sub(r"veintiuno(?= (?:mil|billon))", "veintiún", words))
    if feminine and language == "es":
        *millions, last = re.split(r"(?<=ones )|(?<=ón )", words)  # which are masculine
        words = "".join(millions) + re.sub(r"(cient|quinient)os\b", r"\1as", re.sub(r"uno$", "una", last))
    if feminine and language == "fr":
        words = re.sub(r"\bun$", "une", words)
    return words


@lru_cache(maxsize=4096)
def before_noun(number: int, language: str, feminine: bool = False) -> str:
    """A cardinal in front of what it counts: Spanish shortens "uno", Chinese says 两 for two."""
    if language == "zh" and number == 2:
        return "两"
    words = cardinal(number, language, feminine)
    if language == "es" and not feminine:
        words = re.sub(r"veintiuno$", "veintiún", words)
        words = re.sub(r"\buno$", "un", words)
    return words


def before_word(number: int, language: str, words: str) -> str:
    """A cardinal before words of the text, which in Spanish and French it agrees with as far as their endings tell."""
    if language not in ("es", "fr") or not words:
        return cardinal(number, language)
    first, _, second = words.lower().partition(" ")
    one_or_many = first.endswith(("s", "x", "mil", "mille")) if number > 1 else not re.match(_STREET, words)
    if not one_or_many or first in LEXICONS[language].gender["function_words"].split("|"):
        return cardinal(number, language)  # "21 rue de la Paix"
    # "500 grandes empresas": an adjective without a gender stands before the noun.
    plain_adjective = language == "es" and (first.endswith("es") or first in _ADJECTIVES)
    if plain_adjective and second and not is_feminine(first, language):
        first = second
    return before_noun(number, language, is_feminine(first, language) and not (number == 1 and first in _WITH_UN))


def is_feminine(noun: str, language: str) -> bool:
    """Whether a Spanish or French noun is feminine, as far as a list and its ending tell."""
    feminine, masculine, masculine_endings, feminine_endings = LEXICONS[language].feminines
    if language == "fr" and noun not in feminine:
        noun = noun.removesuffix("s")  # its lists hold the singular
    if noun in feminine or noun in masculine:
        return noun in feminine
    return noun.endswith(feminine_endings) and not (masculine_endings and noun.endswith(masculine_endings))


def ordinal(number: int, language: str, suffix: str = "") -> str:
    """21 -> "twenty-first"; Spanish and French agree with the suffix written ("1ª", "3.er", "1re", "2nd")."""
    if language == "zh":
        return "第" + cardinal(number, language)
    words = str(num2words(number, lang=language, to="ordinal")).replace(",", "")
    if language == "es":
        words = {11: "undécimo", 12: "duodécimo"}.get(number, words)
        if suffix.endswith(("ª", "a")):
            words = re.sub(r"o\b", "a", words)
        elif suffix in ("er", "ᵉʳ"):
            words = re.sub(r"(primer|tercer)o$", r"\1", words)
    if language == "fr":
        if suffix in ("re", "ère"):
            words = re.sub(r"premier$", "première", words)
        elif suffix in ("nd", "nde") and number == 2:
            words = "second" + suffix[2:]
        elif number >= 1000:
            words = re.sub(r"^un (?=mill)", "", words)
    return words


def year(number: int, language: str) -> str:
    """1999 -> "nineteen ninety-nine" in English, digit by digit in Chinese, a plain number elsewhere."""
    if language == "en":
        return str(num2words(number, lang="en", to="year")).replace(",", "")
    return digits(str(number), language) if language == "zh" else cardinal(number, language)


def digits(written: str, language: str) -> str:
    """ "407" -> "four zero seven"."""
    return ("" if language == "zh" else " ").join(cardinal(int(digit), language) for digit in written)


def is_code(written: str) -> bool:
    """Whether digits as written are read one by one, not as a quantity: "007", "4085551234", but not "1,234,567"."""
    if not written.isdigit():
        return False
    leading_zero = len(written) > 1 and written[0] == "0"
    return leading_zero or len(written) > _MOST_DIGITS or (len(written) >= _READ_SINGLY and not written.endswith("000"))


def fraction(written: str, language: str) -> str:
    """What follows the decimal sign: "14" -> "one four"; Spanish and French read short ones as numbers ("catorce")."""
    significant = written.lstrip("0")
    if language in ("en", "zh") or len(written) > 3 or not significant:
        return digits(written, language)
    zeros = written[: len(written) - len(significant)]
    return f"{digits(zeros, language)} {cardinal(int(significant), language)}".strip()
