"""A user's own readings, `{"Higgs": "higz"}`: checks them and applies them to a text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from runtime.formats.errors import InvalidRequestError
from runtime.formats.options import MAX_PRONUNCIATIONS

_MAX_WORD, _MAX_READING = 60, 200  # characters
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Sound events and labels are instructions to the model, not words to speak; an address is one word.
_UNTOUCHED = (
    r"https?://[^\s<>]+|www\.[^\s<>]+|[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+"
    r"|<SE(?:_[se])?>[^<>]*</SE(?:_[se])?>|\[[A-Za-z]+(?: (?:start|end))?\]|\[SPEAKER ?[0-9]+\]"
)


def check_pronunciations(given: Any, name: str) -> None:
    """Raises InvalidRequestError unless `given` maps words to readings, few and short enough, all plain text."""
    if not isinstance(given, dict) or not all(isinstance(reading, str) for reading in given.values()):
        raise InvalidRequestError(f"{name} must be an object of words and their readings, not {given!r:.100}")
    if len(given) > MAX_PRONUNCIATIONS:
        raise InvalidRequestError(f"{name} has {len(given)} entries; at most {MAX_PRONUNCIATIONS} are allowed")
    for word, reading in given.items():
        for text, most in ((word, _MAX_WORD), (reading, _MAX_READING)):
            if not any(c.isalnum() for c in text) or not text.isprintable() or re.search(r"[<>\[\]]", text):
                raise InvalidRequestError(
                    f"{name} gives {word!r:.80} the reading {reading!r:.80}; both must be one line of plain text with "
                    "a letter or digit, without <, >, [ and ]"
                )
            if len(text) > most:
                raise InvalidRequestError(
                    f"{name} has an entry of {len(text)} characters, {text!r:.40}…; a word may have {_MAX_WORD}, a "
                    f"reading {_MAX_READING}"
                )


def pronounced(text: str, readings: Mapping[str, str]) -> str:
    """Replace each word that has a reading, where it stands alone and is written the same way.

    The longest match wins; a replacement is not matched again. In scripts without spaces a word matches anywhere.
    """
    if not readings:
        return text
    composed = {unicodedata.normalize("NFC", " ".join(word.split())): reading for word, reading in readings.items()}
    plain = {word.replace("’", "'"): reading for word, reading in composed.items()}

    def replaced(match: re.Match[str]) -> str:
        return match[0] if match[1] is None else plain[" ".join(match[1].split()).replace("’", "'")]

    return _pattern(tuple(plain)).sub(replaced, text)


@lru_cache(64)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(f"{_UNTOUCHED}|({'|'.join(map(_whole, sorted(words, key=len, reverse=True)))})")


def _whole(word: str) -> str:
    """The word's pattern. A letter or digit at its edge must not adjoin another, except in scripts without spaces."""
    edges = [rf"[^\W{_UNSPACED}]" if re.match(rf"[^\W{_UNSPACED}]", edge) else "" for edge in (word[0], word[-1])]
    after = f"{edges[1]}|[+#]" if len(word) == 1 and edges[1] else edges[1]  # "C" is not "C++"
    written = re.escape(word).replace(r"\ ", r"(?:[^\S\n]+|[^\S\n]*\n[^\S\n]*)").replace("'", "['’]")
    before, behind = (f"(?<!{edges[0]})" if edges[0] else "", f"(?!{after})" if after else "")
    return f"{before}{written}{behind}"
