"""Where a dollar sign is a shell's and no money: "CET 2003 $ date", "echo $1"."""

from __future__ import annotations

import re

_COMMANDS = (
    r"(?:sudo|cd|ls|cat|cp|mv|rm|echo|git|apt(?:-get)?|date|man|grep|ssh|su|vim?|nano|chmod|chown|export|source|python3?|pip|npm"
    r"|make|mkdir|tar|wget|curl|find|kill|ps|bash|sh|docker)(?![\w'’])"
)
_SCRIPT = re.compile(
    r"(?:\b(?:echo|print|printf|awk|eval|exec|shift|set|test|local|return)|[{;|&]|[A-Za-z_]=|\s-[a-z])\s*[\"'(\[{]?$"
)

_REGISTER = re.compile(r"\b[Rr]egist(?:er|ro|re)s?(?: [a-z]+){0,2} $")


def no_prompt(language: str) -> str:
    """The part of a pattern, behind a number and its sign, that a prompt fails; Chinese puts no space before a sign."""
    return rf"(?!(?<= \$) (?:{'[^ ]' if language == 'zh' else _COMMANDS}))"


def is_parameter(match: re.Match[str], number: str) -> bool:
    """Whether a dollar sign and a digit stand in a script, where they are a parameter of it: "print $1"."""
    before = match.string[max(0, match.start() - 20) : match.start()]
    return bool(_REGISTER.search(before)) or (len(number) == 1 and bool(_SCRIPT.search(before)))
