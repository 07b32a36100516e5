"""What symbols are called in each language whose numbers are written out: the words of `words_*.toml`, as types."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import tomllib


@dataclass(frozen=True)
class Noun:
    """What is counted, for one and for many of it."""

    one: str
    many: str
    feminine: bool = False


@dataclass(frozen=True)
class Money:
    """A currency and its hundredth; `hundredth` is None where the language reads decimals of the currency instead."""

    whole: Noun
    hundredth: Noun | None


@dataclass(frozen=True)
class Lexicon:
    """One language's words. `thousands` are the characters that may group digits, `decimal` those before a fraction."""

    language: str
    thousands: str
    decimal: str
    day_first: bool
    point: str
    minus: str
    plus: str
    to: str
    percent: str
    permille: str
    cents: str  # between whole currency and hundredths
    per: str
    about: str
    number: str
    months: tuple[str, ...]
    signs: dict[str, str]
    address: dict[str, str]  # what a sign in a web or e-mail address is called
    magnitudes: dict[str, Noun]  # what may stand between an amount and its currency
    money: dict[str, Money]
    units: dict[str, Noun]
    per_words: dict[str, str]  # what may stand behind an amount's slash
    before_numbers: dict[str, str]  # abbreviations that only numbers follow
    context: dict[str, str]  # words, as parts of regular expressions, that tell what a number near them is
    gender: dict[str, str]

    @property
    def space(self) -> str:
        """What stands between two words."""
        return "" if self.language == "zh" else " "

    @cached_property
    def feminines(self) -> tuple[frozenset[str], frozenset[str], tuple[str, ...], tuple[str, ...]]:
        """Feminine and masculine nouns, then endings of masculine and of feminine ones."""
        words = {name: value.split("|") for name, value in self.gender.items()}
        return (
            frozenset(words["feminine"]),
            frozenset(words["masculine"]),
            tuple(filter(None, words["masculine_endings"])),
            tuple(words["feminine_endings"]),
        )


def alternatives(written: Iterable[str]) -> str:
    """A regular expression for one of these strings, the longest that fits."""
    return "|".join(map(re.escape, sorted(written, key=len, reverse=True)))


def any_case(words: str) -> str:
    """A regular expression for one of the words that "|" stands between, in capitals or not.

    Each shows its first letter, so that at most places of a text none of them need be tried.
    """
    return "|".join(f"[{word[0].upper()}{word[0].lower()}](?i:{word[1:]})" for word in words.split("|"))


def _lexicon(language: str) -> Lexicon:
    words: dict[str, Any] = tomllib.loads((Path(__file__).parent / f"words_{language}.toml").read_text("utf-8"))
    return Lexicon(
        language=language,
        months=tuple(words.pop("months")),
        money={key: _money(value) for key, value in _each(words.pop("money"))},
        units={key: _noun(value) for key, value in _each(words.pop("units"))},
        magnitudes={key: _noun(value) for key, value in _each(words.pop("magnitudes"))},
        per_words=dict(_each(words.pop("per_words"))),
        before_numbers=dict(_each(words.pop("before_numbers"))),
        gender=words.pop("gender", {}),
        **words,
    )


def _each(table: dict[str, str]) -> Iterable[tuple[str, str]]:
    return ((key, value) for keys, value in table.items() for key in keys.split(", "))


def _noun(written: str) -> Noun:
    one, *rest = written.split("|")
    return Noun(one, rest[0] if rest else one, feminine=rest[1:] == ["f"])


def _money(written: str) -> Money:
    whole, _, hundredth = written.partition("; ")
    return Money(_noun(whole), _noun(hundredth) if hundredth else None)


LEXICONS = {language: _lexicon(language) for language in ("en", "zh", "es", "fr")}
