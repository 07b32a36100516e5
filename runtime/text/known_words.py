"""The words that a checkpoint says it knows, if it has a list of them: a small one knows few words, or one alphabet."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from runtime.text.duration import EVENT

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_MOST = 20  # words that a warning names
_LETTERS = "*"  # begins a line of letters


class KnownWords:
    """words: None where there is no list, and every word counts as known. letters: of which every word is known."""

    def __init__(self, words: Iterable[str] | None, letters: str = "") -> None:
        self._words = None if words is None else frozenset(words)
        self._letters = frozenset(letters)

    @classmethod
    def read(cls, file: Path) -> KnownWords:
        """Those of a file, if there is one: a word a line, or `*` and letters of which every word is known."""
        if not file.is_file():
            return EVERY_WORD
        entries = file.read_text("utf-8").split()
        words = (entry for entry in entries if not entry.startswith(_LETTERS))
        return cls(words, "".join(entry for entry in entries if entry.startswith(_LETTERS)))

    def unknown(self, text: str) -> list[str]:
        """The words of a text, as it is read, that are none of them; in small letters, each once, in order."""
        if self._words is None:
            return []
        words = dict.fromkeys(word.lower().replace("’", "'") for word in _WORD.findall(EVENT.sub(" ", text)))
        return [word for word in words if word not in self._words and not self._letters.issuperset(word)]


EVERY_WORD = KnownWords(None)


def warnings(unknown: Iterable[str]) -> list[str]:
    """What the report says of words that are not known; nothing where there are none."""
    words = list(dict.fromkeys(unknown))
    more = f" and {len(words) - _MOST} more" if len(words) > _MOST else ""
    return [f"this voice was never taught: {', '.join(words[:_MOST])}{more}"] if words else []
