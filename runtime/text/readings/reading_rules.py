"""What every set of reading rules is made of: a pattern and what is said for it, and where a number begins and ends.

A rule's pattern stands between START and END, so that it reads a written token whole or not at all: "12:30-13:45" is no
time with something behind it, "v1.2.3" no decimal, "3/4/5" no fraction.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Reading = Callable[[re.Match[str]], str]
Rule = tuple[str, Reading]  # a reading returns the match itself to leave it alone

LETTER = "A-Za-zÀ-ÖØ-öø-ɏΑ-ωА-яЁёµ"  # Chinese characters may touch a number
CURRENCY = "$€£¥₹₩₽₺₪₫฿¢"
_JOINT = r"./:^*=+×÷~_#&@\\|"
OUTSIDE = (  # of what a number would be a part of
    rf"(?<![{LETTER}_0-9{CURRENCY}#&@\\^*=+%<>~|/-])(?<![{LETTER}0-9][{_JOINT}])(?<![0-9][,'’·–—-])"
    rf"(?<![^.…]\.)(?<!^\.)(?<![{LETTER}0-9_.)\]][\[(])(?<![0-9]--)(?<![{LETTER}][{LETTER}]['’])"
    rf"(?<![{CURRENCY}%‰°][{_JOINT},.'’·–—-])(?<!::)(?<!\]:)(?<![{LETTER}0-9]!)(?!(?<=\.)\.)"
)
START = rf"(?=[0-9.]){OUTSIDE}"  # the digit first: at most places of a text nothing else need be looked for
END = (
    rf"(?![{LETTER}_0-9{CURRENCY}%‰°º²³ª])(?! ?[%‰])(?![{_JOINT}][{LETTER}0-9+-])"
    rf"(?![,·–—-][0-9{CURRENCY}])(?!['’][{LETTER}0-9])(?![*^#~<>=+])(?!\.[*\[])(?![\[(][0-9])(?!--[0-9])(?!-[a-z]+-[0-9])(?!!=)(?!-[A-Z](?![{LETTER}]))(?!\"[{LETTER}0-9])"
)

_HIDDEN = {ord("0") + digit: 0xDC30 + digit for digit in range(10)}  # halves of characters, which no text holds
_SHOWN = {hidden: shown for shown, hidden in _HIDDEN.items()}


def hidden(match: re.Match[str]) -> str:
    """What was matched, out of all later rules' reach: it is to stay as it is, whole."""
    return match[0].translate(_HIDDEN)


def shown(text: str) -> str:
    """The text with what was hidden."""
    return text.translate(_SHOWN)
