"""English sums and measures that describe the noun behind them, which keeps them singular: "a 5 km run", "$5m loan"."""

from __future__ import annotations

import re

from runtime.text.readings.lexicon import LEXICONS

_WORDS = LEXICONS["en"].context
OF_METRES = _WORDS["of_metres"]  # before another word they are millions: "5m users"


def sum_describes(match: re.Match[str]) -> bool:
    """Whether a sum describes the noun behind it: "a $5m house", "$5m loan", "$9-an-hour"."""
    behind = match.string[match.end() : match.end() + 24]
    if re.match(rf"[ -](?:{_WORDS['priced']})\b|-an?-[a-z]", behind):
        return True
    return _stands_between_article_and_noun(match)


def measure_describes(match: re.Match[str]) -> bool:
    """Whether a measure describes the noun behind it: "a 5 km run", "the 575MB disk"."""
    measured = re.match(rf" (?:{_WORDS['measured']})\b", match.string[match.end() :])
    return bool(measured) or _stands_between_article_and_noun(match)


def _stands_between_article_and_noun(match: re.Match[str]) -> bool:
    article = re.search(r"\b(?i:a|an|another) $", match.string[max(0, match.start() - 10) : match.start()])
    return bool(article and re.match(rf"[ -](?!(?:{_WORDS['no_noun']})\b)[a-z]+", match.string[match.end() :]))
