"""A text as the model was trained to read it: what Boson's generation script does, in its order, and numbers in words.

Source of the first: `examples/generation.py` of the original implementation (behaviour only).
"""

from __future__ import annotations

import re

from runtime.text.readings.lexicon import LEXICONS
from runtime.text.readings.readings import read_numbers

_FULL_WIDTH = str.maketrans(
    {
        "，": ", ", "。": ".", "：": ":", "；": ";", "？": "?", "！": "!", "（": "(", "）": ")", "【": "[", "】": "]",
        "《": "<", "》": ">", "“": '"', "”": '"', "‘": "'", "’": "'", "、": ",", "—": "-", "…": "...", "·": ".",
        "「": '"', "」": '"', "『": '"', "』": '"', "．": ".",
    }
)  # fmt: skip

EVENTS = {
    "[laugh]": "<SE>[Laughter]</SE>",
    "[humming start]": "<SE_s>[Humming]</SE_s>",
    "[humming end]": "<SE_e>[Humming]</SE_e>",
    "[music start]": "<SE_s>[Music]</SE_s>",
    "[music end]": "<SE_e>[Music]</SE_e>",
    "[music]": "<SE>[Music]</SE>",
    "[sing start]": "<SE_s>[Singing]</SE_s>",
    "[sing end]": "<SE_e>[Singing]</SE_e>",
    "[applause]": "<SE>[Applause]</SE>",
    "[cheering]": "<SE>[Cheering]</SE>",
    "[cough]": "<SE>[Cough]</SE>",
}
_DASH_BEHIND = re.compile(r"\)([-−+])(?=[0-9])")
_BLANKS = re.compile(
    r"(?<=\n)[^\S\n]+|[^\S\n]+(?=\n)|[^\S\n\u00a0\u202f\u2009]+"
)  # not those that hold a number together
EVENT_TAG = re.compile(r"(</?SE(?:_[se])?>)")
_MOST_ROUNDS = 4
_ENDINGS = (*".!?,;\"'।॥؟۔؛。！？»”’›", "</SE_e>", "</SE>")


def normalize(text: str, language: str = "en", closed: bool = True) -> str:
    """The text as the model reads it; empty when nothing speakable is left.

    Numbers and what belongs to them are written out in English, Chinese, Spanish and French; any other `language` keeps
    them. `closed`: it gets a full stop, unless it has an ending of its own. Repeated until nothing changes, so that a
    normalised text is its own normalisation; but not for ever, since of "5kg,5kg,…" each time reads only the last.
    """
    for _ in range(_MOST_ROUNDS):
        normalized = _normalized_once(text, language, closed)
        if normalized == text:
            break
        text = normalized
    return text


def _normalized_once(text: str, language: str, closed: bool) -> str:
    # Numbers first: their parentheses, dashes and dots still tell what they are.
    text = read_numbers(_BLANKS.sub(" ", text), language)
    text = _DASH_BEHIND.sub(r") \1 ", text)  # no sign of what follows: "401(k)-1"
    text = text.translate(_FULL_WIDTH).replace("(", " ").replace(")", " ")
    for sign in ("°F", "°C"):
        if language in LEXICONS:
            text = text.replace(sign, f"{'' if language == 'zh' else ' '}{LEXICONS[language].units[sign].many}")
    for event, tag in EVENTS.items():
        text = text.replace(event, tag)
    text = _squeezed(text)
    if closed and text and not text.endswith(_ENDINGS):
        text += "."
    return text


def _squeezed(text: str) -> str:
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)
