"""English sums and measures that describe the noun behind them, which keeps them singular: "a 5 km run", "$5m loan"."""

from __future__ import annotations

import re

# What metres without a blank stand before; before another word they are millions: "5m users".
OF_METRES = (
    "tall|long|wide|deep|high|away|across|from|of|in|to|and|or|by|above|below|at|the|relay|race|sprint|freestyle"
)
OF_METRES += "|butterfly|breaststroke|backstroke|hurdles|final|medley"
_PRICED = "loan|deal|budget|fine|investment|contract|project|lawsuit|settlement|mansion|prize|grant|donation|bailout"
_PRICED += "|bonus|question|takeover|acquisition|mortgage|bounty|penalty|scholarship|jackpot|payout|stake"
_MEASURED = "(?:(?:SATA|SAS|IDE|USB|NVMe|hard|solid-state|external|internal|flash|thumb) ){0,2}"
_MEASURED += "(?:disks?|drives?|SSDs?|volumes?|partitions?|files?|images?|downloads?|laptops?|monitors?|displays?"
_MEASURED += "|TVs?|timeouts?|delays?|intervals?|batter(?:y|ies)|bulbs?|lens|lenses|processors?)"
# A loan of five million dollars is a five million dollar loan.
_NO_NOUN = "in|of|to|for|on|and|or|more|less|each|per|from|at|by|that|which|is|was|a|an|the|worth|off|than|as|with|if|when|but|so|only|would|will|could|can|are|were|i|he|she|it|they|we|you|extra|apiece|into|this|too|over|under"  # noqa: E501


def sum_describes(match: re.Match[str]) -> bool:
    """Whether a sum describes the noun behind it: "a $5m house", "$5m loan", "$9-an-hour"."""
    behind = match.string[match.end() : match.end() + 24]
    if re.match(rf"[ -](?:{_PRICED})\b|-an?-[a-z]", behind):
        return True
    return _stands_between_article_and_noun(match)


def measure_describes(match: re.Match[str]) -> bool:
    """Whether a measure describes the noun behind it: "a 5 km run", "the 575MB disk"."""
    measured = re.match(rf" (?:{_MEASURED})\b", match.string[match.end() :])
    return bool(measured) or _stands_between_article_and_noun(match)


def _stands_between_article_and_noun(match: re.Match[str]) -> bool:
    article = re.search(r"\b(?i:a|an|another) $", match.string[max(0, match.start() - 10) : match.start()])
    return bool(article and re.match(rf"[ -](?!(?:{_NO_NOUN})\b)[a-z]+", match.string[match.end() :]))
