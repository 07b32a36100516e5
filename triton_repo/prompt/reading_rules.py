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
MEASURE_WORDS = (  # what Chinese counts with
    "个只位次天本张块家双倍杯座辆种岁斤公小分千万亿元人米吨点枚颗条件名周瓶盒台套支部间所艘届场头匹群组类项步句页层"
    "户口亩站国队局轮字股票瓦株多余美英欧日港平立毫厘度卷册首篇段行列"
)
_JOINT = r"./:^*=+×÷~_#&@\\|"
START = (
    rf"(?<![{LETTER}_0-9{CURRENCY}#&@\\^*=+%<>~|/-])(?<![{LETTER}0-9][{_JOINT}])(?<![0-9][,'’·–—-])"
    rf"(?<![^.…]\.)(?<!^\.)(?<![{LETTER}0-9_.)\]][\[(])(?<![0-9]--)(?<![{LETTER}][{LETTER}]['’])"
    rf"(?<![{CURRENCY}%‰°][{_JOINT},.'’·–—-])(?<!::)(?<!\]:)(?<![{LETTER}0-9]!)(?!(?<=\.)\.)"
)
END = (
    rf"(?![{LETTER}_0-9{CURRENCY}%‰°º²³ª])(?! ?[%‰])(?![{_JOINT}][{LETTER}0-9+-])"
    rf"(?![,·–—-][0-9{CURRENCY}])(?!['’][{LETTER}0-9])(?![*^#~<>=+])(?!\.[*\[])(?![\[(][0-9])(?!--[0-9])(?!-[a-z]+-[0-9])(?!!=)(?!-[A-Z](?![{LETTER}]))"
)


def unless(language: str, chinese: str, other: str) -> str:
    """The part of a pattern that Chinese has otherwise, where words touch numbers."""
    return chinese if language == "zh" else other
