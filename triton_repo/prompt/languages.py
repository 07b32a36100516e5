"""The languages a text can be in: what the model is known to read well, and which one a text is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from common.errors import InvalidRequestError
from telltale_words import english, spanish_or_french, without_borrowed_phrases


@dataclass(frozen=True)
class Language:
    """An ISO 639-1 `code`, its English `name`, and the `quality` the model is known to have in it.

    quality is "high", "medium", or "unknown" for a language that was detected and is in no table.
    """

    code: str
    name: str
    quality: str


LANGUAGES = {
    "en": Language("en", "English", "high"),
    "zh": Language("zh", "Chinese", "high"),
    "es": Language("es", "Spanish", "medium"),
    "fr": Language("fr", "French", "medium"),
}
_OTHERS = {
    "ar": "Arabic", "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "fi": "Finnish",
    "he": "Hebrew", "hi": "Hindi", "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese",
    "ko": "Korean", "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian",
    "ru": "Russian", "sv": "Swedish", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese",
}  # fmt: skip
_ROMANCE = ("ca", "es", "fr", "it", "pt", "ro")  # what English with borrowed words is taken for
_DEFAULT = LANGUAGES["en"]
_SURE = 0.9
_FEWEST_LETTERS = 20  # fewer, in Latin letters, tell the identifier nothing: "Taxi!", "Lucy"
_FEW_LETTERS = 80  # so few are looked through for words that only one language has
_MOST_CHARACTERS = 2000

_TAG = re.compile(r"<[^<>\n]*>|\[[^\[\]\n]*\]")
_HAN = re.compile(r"[\u3400-\u9fff]")
_KANA_OR_HANGUL = re.compile(r"[\u3040-\u30ff\uac00-\ud7af]")


def resolve(requested: str | None, text: str) -> Language:
    """The language asked for, or the one the text is in. Raises InvalidRequestError for one the table does not have."""
    if requested:
        if requested not in LANGUAGES:
            known = ", ".join(f"{language.code} ({language.name})" for language in LANGUAGES.values())
            raise InvalidRequestError(f"language {requested!r} is not supported; there are {known}")
        return LANGUAGES[requested]
    return _detect(without_borrowed_phrases(_TAG.sub(" ", text[:_MOST_CHARACTERS])))


def _detect(text: str) -> Language:
    letters = [c for c in text if c.isalpha()]
    if not letters:
        return _DEFAULT
    if len(_HAN.findall(text)) * 4 >= len(letters) and not _KANA_OR_HANGUL.search(text):
        return LANGUAGES["zh"]
    latin = all(c < "\u0250" for c in letters)
    if latin and len(letters) < _FEW_LETTERS and (found := spanish_or_french(text)):
        return LANGUAGES[found]
    if latin and len(letters) < _FEWEST_LETTERS:
        return _DEFAULT
    code, probability = _identifier().classify(text)
    if probability < _SURE or (code in _ROMANCE and len(letters) < _FEW_LETTERS and english(text)):
        return _DEFAULT
    return LANGUAGES.get(code) or Language(code, _OTHERS[code], "unknown")


@cache
def _identifier() -> Any:
    identifier = LanguageIdentifier.from_pickled_model(MODEL_FILE, norm_probs=True)
    identifier.set_languages([*LANGUAGES, *_OTHERS])
    return identifier
