"""What the scene says about the speakers. What the user wrote there about a speaker overrides what would be chosen.

The scene describes a speaker by its number, in any spelling: `SPEAKER0: …`, `speaker 0 ：…`, `- [SPEAKER1] …`,
`**Speaker 2** is …`; or by its name in the text, at the start of a line: `Anna: …`. A line that names two speakers
together (`SPEAKER0 and SPEAKER1 argue`) describes neither.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from runtime.text.dialogue.label_parts import SPEAKER_NUMBER

_OPENING, _CLOSING = r"[\[(（【<《“\"'*_`]*", r"[\])）】>》”\"'*_`]*"
_LINE_START = rf"^[ \t\u3000]*(?:[-*+•·–—][ \t]*|\d{{1,2}}[.)][ \t]*)?{_OPENING}[ \t]*"
_SEPARATOR = r"(?:[:：=]|[-–—](?=\s|[–—-]))"
_VERB = r"(?:is|was|has|sounds|speaks|talks|es|tiene|habla|est|parle)\b|是|的声音"
_SAYS = rf"(?:['’]s\b|{_VERB}|[(（]|[,，]\s*(?:an?|who|whose)\b)"
_BRACKETED = rf"{_LINE_START}(?<=[\[【(（<]){SPEAKER_NUMBER}[\]】)）>][ \t]*\S"
_BY_NUMBER = re.compile(
    rf"(?<![^\W_]){SPEAKER_NUMBER}[ \t]*{_CLOSING}[ \t]*(?:{_SEPARATOR}|{_SAYS})|{_BRACKETED}",
    re.IGNORECASE | re.MULTILINE,
)


def described(scene: str) -> set[int]:
    """The numbers of the speakers that the scene says something about."""
    return {int(match[1] or match[2]) for match in _BY_NUMBER.finditer(scene)}


def with_numbers(scene: str, numbers: Mapping[str, int]) -> str:
    """The scene with `SPEAKERn` for each name of `numbers` that labels a line, since the prompt's text has it too."""
    for name, number in numbers.items():
        if words := name.split():
            spelled = r"\s+".join(map(re.escape, words))
            label = re.compile(
                rf"({_LINE_START}){spelled}([ \t]*{_CLOSING}[ \t]*{_SEPARATOR})", re.IGNORECASE | re.MULTILINE
            )
            scene = label.sub(rf"\g<1>SPEAKER{number}\g<2>", scene)
    return scene
