"""What Boson's generation script does to a text before the model reads it, in its order.

Source: `examples/generation.py` of the original implementation (behaviour only; facts/higgs_audio_v2.md lists it).
"""

from __future__ import annotations

import re

_FULL_WIDTH = str.maketrans(
    {
        "，": ", ", "。": ".", "：": ":", "；": ";", "？": "?", "！": "!", "（": "(", "）": ")", "【": "[", "】": "]",
        "《": "<", "》": ">", "“": '"', "”": '"', "‘": "'", "’": "'", "、": ",", "—": "-", "…": "...", "·": ".",
        "「": '"', "」": '"', "『": '"', "』": '"',
    }
)  # fmt: skip

_EVENTS = {
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
EVENT_TAG = re.compile(r"(</?SE(?:_[se])?>)")
_ENDINGS = (".", "!", "?", ",", ";", '"', "'", "</SE_e>", "</SE>")


def normalize(text: str, language: str = "en") -> str:
    """The text as the model was trained to read it; empty when nothing speakable is left."""
    text = text.translate(_FULL_WIDTH).replace("(", " ").replace(")", " ")
    text = text.replace("°F", " degrees Fahrenheit").replace("°C", " degrees Celsius")
    for event, tag in _EVENTS.items():
        text = text.replace(event, tag)
    lines = (" ".join(line.split()) for line in text.split("\n"))
    text = "\n".join(line for line in lines if line).strip()
    if text and not text.endswith(_ENDINGS):
        text += "."
    return text
