"""Years and centuries before and after Christ in Spanish and French: "27 a. C.-14 d. C.", "Ve s. av. J.-C."."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from runtime.text.readings.lexicon import LEXICONS
from runtime.text.readings.numerals import cardinal
from runtime.text.readings.reading_rules import LETTER, START, Rule

# What is written, as the names of groups have it, and what is said.
_ERAS = {
    "es": {
        r"(?:[aA]\. ?(?:de )?|a\. ?J\. ?)C\.?|a\. de J\.?C\.": "antes de Cristo",
        r"(?:[dD]\. ?(?:de )?|d\. ?J\. ?)C\.?|d\. de J\.?C\.": "después de Cristo",
        r"a\. ?n\. ?e\.|a\. ?e\. ?c\.": "antes de nuestra era",
        r"d\. ?n\. ?e\.": "de nuestra era",
    },
    "fr": {
        r"av(?:\.|ant) ?J\.?[- ]?C\.?": "avant Jésus-Christ",
        r"(?:apr?\.|après) ?J\.?[- ]?C\.?": "après Jésus-Christ",
        r"av\. (?:notre ère|n\. ?è\.)": "avant notre ère",
        r"apr?\. (?:notre ère|n\. ?è\.)|de n\. ?è\.": "de notre ère",
    },
}
_YEAR = r"([0-9]{1,2}[. ][0-9]{3}|[0-9]{1,5})"
_SENTENCE_ENDS = re.compile(r"""[»”"']*(?:$|\n| ["“«¿¡]?[A-ZÀ-ÖØ-Þ])""")


def full_stop(match: re.Match[str]) -> str:
    """The full stop of the sentence, if it is that of the abbreviation at the end of this match, too."""
    return "." if match[0].endswith(".") and _SENTENCE_ENDS.match(match.string, match.end()) else ""


def era_rules(language: str) -> Iterator[Rule]:
    """Years and their eras, in Spanish and French."""
    if language not in _ERAS:
        return
    era, to = _written(language), LEXICONS[language].to

    def span(match: re.Match[str]) -> str:
        first, first_era, last, last_era = match.groups()
        lead = f"{_year(first, language)} {_said(first_era, language)}" if first_era else _year(first, language)
        end = f" {_said(last_era, language)}{full_stop(match)}" if last_era else ""
        return f"{lead} {to} {_year(last, language)}{end}"

    yield rf"{START}{_YEAR}(?: ?({era}))? ?[-–—] ?{_YEAR} ?({era})(?![{LETTER}])", span
    yield rf"{START}{_YEAR} ?({era}) ?[-–—] ?{_YEAR}()(?![{LETTER}0-9])", span
    yield (
        rf"{START}{_YEAR} ?({era})(?![{LETTER}])",
        lambda m: f"{_year(m[1], language)} {_said(m[2], language)}{full_stop(m)}",
    )


def century_rules(language: str) -> Iterator[Rule]:
    """The eras behind centuries, whose numerals have been read."""
    if language not in _ERAS:
        return
    century = {"es": r"(?i:siglos?|milenios?)[a-zá-ú, -]{0,40}?", "fr": r"(?i:si[eè]cles?|mill[ée]naires?)"}[language]
    yield (
        rf"\b({century}) ?({_written(language)})(?![{LETTER}])",
        lambda m: f"{m[1]} {_said(m[2], language)}{full_stop(m)}",
    )


def with_era(numeral: str, said: Callable[[str], str], language: str) -> Rule:
    """A rule for centuries without their word: "el siglo I a. C. y el III d. C."; `numeral` has one group."""
    return (
        rf"{numeral} ?({_written(language)})(?![{LETTER}])",
        lambda m: f"{said(m[1])} {_said(m[2], language)}{full_stop(m)}",
    )


def _written(language: str) -> str:
    return "|".join(_ERAS[language])


def _said(written: str, language: str) -> str:
    return next(said for pattern, said in _ERAS[language].items() if re.fullmatch(pattern, written))


def _year(written: str, language: str) -> str:
    return cardinal(int("".join(filter(str.isdigit, written))), language)
