"""The languages a text can be in: what the model is known to read well, and which one a text is.

The script tells most of them. Between those that are written in Latin letters the words decide: of every language it
is known how often it uses each of its 30,000 commonest words (wordfreq), and a text is in the one in which it is
likeliest.
English, which most requests are in, has a start; so names, which look alike everywhere, are English for want of
evidence, and so is what it has borrowed. Where the rest of a request is in another language, English has none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from math import log

from wordfreq import get_frequency_dict

from runtime.formats.errors import InvalidRequestError, quoted
from runtime.text.readings.borrowed_phrases import BORROWED


@dataclass(frozen=True)
class Language:
    """An ISO 639-1 `code`, its English `name`, and the `quality` the model is known to have in it.

    quality is "high", "medium", or "unknown" for a language that was detected and is in no table; the code "und" is
    that of one which is none of those known here.
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
_IN_LATIN_LETTERS = {
    "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German", "fi": "Finnish", "hu": "Hungarian",
    "id": "Indonesian", "it": "Italian", "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese",
    "ro": "Romanian", "sv": "Swedish", "tr": "Turkish", "vi": "Vietnamese",
}  # fmt: skip
_OTHERS = {
    **_IN_LATIN_LETTERS,
    "ar": "Arabic", "el": "Greek", "he": "Hebrew", "hi": "Hindi", "ja": "Japanese", "ko": "Korean", "ru": "Russian",
    "th": "Thai", "uk": "Ukrainian", "und": "undetermined",
}  # fmt: skip
_LATIN = r"[^\W\d_\u0250-\uffff]"
_WORD = re.compile(rf"{_LATIN}+(?:'{_LATIN}+)*")
# The words of each alphabet, and the characters of Chinese and Japanese, of which one is worth as much.
_SCRIPTS = {
    "zh": re.compile("[\u3040-\u30ff\u3400-\u9fff]"),
    "latin": _WORD,
    "ko": re.compile("[\u1100-\u11ff\uac00-\ud7af]+"),
    "ar": re.compile("[\u0600-\u06ff]+"),
    "el": re.compile("[\u0370-\u03ff\u1f00-\u1fff]+"),
    "he": re.compile("[\u0590-\u05ff]+"),
    "hi": re.compile("[\u0900-\u097f]+"),
    "ru": re.compile("[\u0400-\u04ff]+"),
    "th": re.compile("[\u0e00-\u0e7f]+"),
}
_KANA = re.compile("[\u3040-\u30ff]")
_CHARACTERS_A_WORD = 1.6  # of Chinese
_LEAST_KANA = 1 / 8  # of the characters of a Japanese text; a Chinese one may quote some
_UKRAINIAN = re.compile("[іїєґ]", re.IGNORECASE)

_MOST_CHARACTERS = 2000
_RAREST = 1e-7  # the share of a language's words that one has which is not among its commonest
# What a language is ahead by before a word is read, as the logarithm of a likelihood.
_ENGLISH_START = 4.0
_PHRASE_START = 7.0  # English's in what is no sentence, as titles are
_WORD_START = 9.0  # and in a single word
_COUNTED_START = 5.0  # with a number beside words, which names seldom have: "20 personas en la cola"
_FRAME = 3.5  # how much more English than the rest is each word that begins or ends an English sentence
_MOST_FRAMED_WORDS = 20
_LIKELY_START = 2.0
_UNLIKELY_START = -5.0  # what is neither English nor what the rest of the request is in
_SELDOM = 2e-6  # the share of English words that one has which English hardly uses
_ELIDED_START = 6.0
_RARE_START = -2.0
_NAME_WEIGHT = 0.3  # also a borrowed word's in another sentence than an exclamation
_SPANISH_MARKS = 8.0

_STRANGE = re.compile("(?!œ)[\u0100-\u024f\u1e00-\u1eff]")  # letters of none of the languages that are read
_MOST_STRANGE, _MOST_UNKNOWN = 0.35, 0.7  # of the words
_ELIDED = re.compile(r"\b[cdjlmnst]'[aeiouyàâéèêëîïôûœh]", re.IGNORECASE)

_TAG = re.compile(r"<[^<>\n]*>|\[[^\[\]\n]*\]")
_SENTENCE_END = re.compile(r"[.!?…][\"'”’»)]*\s*$")
_SENTENCE_START = re.compile(r"[.!?…:¿¡]|^\s*-\s")
_NO_NAME = re.compile(rf"{_SENTENCE_START.pattern}|\d $")  # behind a number a noun: "In 5 Minuten."
_DIGIT = re.compile(r"\d")
_CAPITAL = re.compile(r"(?:^|')[A-ZÀ-Þ]")
_LINKING = re.compile(
    "(?:a|al|and|at|au|d|da|das|de|del|der|des|di|do|dos|du|e|el|en|et|for|in|l|la|las|le|les|los|of|on|the|van|von|y|à)"
)  # a title's small words


def resolve(requested: str | None, text: str, likely: Collection[str] = ()) -> Language:
    """The language asked for, with or without a region, or the one the text is in.

    likely: codes of the languages that the rest of the request is in.

    Raises InvalidRequestError for one asked for that the table does not have.
    """
    if requested:
        if _primary(requested) not in LANGUAGES:
            known = ", ".join(f"{language.code} ({language.name})" for language in LANGUAGES.values())
            raise InvalidRequestError(f"language {quoted(requested)} is not supported; there are {known}")
        return LANGUAGES[_primary(requested)]
    code = _detect(unicodedata.normalize("NFC", _TAG.sub(" ", text[:_MOST_CHARACTERS])).replace("’", "'"), likely)
    return LANGUAGES.get(code) or Language(code, _OTHERS[code], "unknown")


def likely_languages(voices: Sequence[str], texts: Sequence[str]) -> list[str]:
    """The codes of what the rest of a request tells: its voices' language tags, and the texts beside what is spoken.

    English texts tell nothing: the system text is mostly English, whatever is spoken.
    """
    tags = map(_primary, voices)
    codes = (resolve(None, text).code for text in texts if text)
    return [*(tag for tag in tags if tag in LANGUAGES or tag in _OTHERS), *(code for code in codes if code != "en")]


def _primary(tag: str) -> str:
    """Of a BCP 47 tag, or a locale's name, the language: "en" of "en-US", "EN" and "en_US"."""
    return tag.replace("_", "-").partition("-")[0].casefold()


def _detect(text: str, likely: Collection[str]) -> str:
    counts = {script: len(letters.findall(text)) for script, letters in _SCRIPTS.items()}
    weights = counts | {"zh": counts["zh"] / _CHARACTERS_A_WORD}
    script = max(weights, key=lambda name: weights[name])
    if not counts[script]:
        return "und" if any(map(str.isalpha, text)) else next(iter(likely), "en")
    if script == "zh":
        japanese = len(_KANA.findall(text)) >= _LEAST_KANA * counts["zh"] or ("ja" in likely and "zh" not in likely)
        return "ja" if japanese else "zh"
    if script == "ru":
        return "uk" if _UKRAINIAN.search(text) else "ru"
    return _by_words(text, likely) if script == "latin" else script


def _by_words(text: str, likely: Collection[str]) -> str:
    """The likeliest of the languages in Latin letters."""
    start = dict.fromkeys(_IN_LATIN_LETTERS, _RARE_START) | {"es": 0.0, "fr": 0.0}
    sentence = bool(_SENTENCE_END.search(text))
    words = _telling_words(text, sentence)
    if set(likely) <= {"en"}:
        counted = bool(_DIGIT.search(text))
        phrase = _COUNTED_START if counted else _PHRASE_START if len(words) > 1 else _WORD_START
        start["en"] = _ENGLISH_START if sentence else phrase
    else:
        start = dict.fromkeys(start, _UNLIKELY_START)
        start |= {"en": 0.0} | {code: _LIKELY_START for code in likely if code in start}
    if "¿" in text or "¡" in text:
        start["es"] += _SPANISH_MARKS
    if any(elided[0][2].islower() for elided in _ELIDED.finditer(BORROWED.sub(" ", text))):  # "L'an", not "L'Oréal"
        start |= {code: start[code] + _ELIDED_START for code in ("fr", "it", "ca")}
    known = _known_words()

    def evidence(code: str, words: Sequence[tuple[str, float]]) -> float:
        return sum(weight * log(known[code].get(word, 0.0) + _RAREST) for word, weight in words)

    best = max(start, key=lambda code: start[code] + evidence(code, words))
    # An English sentence may quote one that is longer than itself; and another language's may end with an English name.
    frames = (words[:2], words[-4:]) if 4 < len(words) <= _MOST_FRAMED_WORDS else ()
    if any(evidence("en", frame) - evidence(best, frame) >= _FRAME * len(frame) for frame in frames):
        return "en"
    return best if best not in LANGUAGES or _is_known(words, best) else "und"


def _is_known(words: Sequence[tuple[str, float]], code: str) -> bool:
    """Whether the language has words enough of the text, of which few have letters that are strange to it."""
    certain = [word for word, weight in words if weight == 1]
    unknown = sum(word not in _known_words()[code] for word in certain)
    strange = any(map(_STRANGE.search, certain))
    return len(certain) < 4 - strange or unknown <= (_MOST_STRANGE if strange else _MOST_UNKNOWN) * len(certain)


def _telling_words(text: str, sentence: bool) -> list[tuple[str, float]]:
    """The words in small letters, each with what it weighs; of a title none, whose words are all names'."""
    found = list(_WORD.finditer(text))
    shouted = text.isupper()
    names = {
        word
        for word, before in zip(found[1:], found, strict=False)
        if _CAPITAL.search(word[0])
        and not shouted
        and not (_NO_NAME if sentence else _SENTENCE_START).search(text[before.end() : word.start()])
    }
    borrowed = {place for phrase in BORROWED.finditer(text) for place in range(*phrase.span())}
    others = [word for word in found[1:] if word not in names and word.start() not in borrowed]
    if not sentence and names and all(_LINKING.fullmatch(word[0]) for word in others):
        return []
    english = _known_words()["en"]
    lent = _NAME_WEIGHT if text.rstrip().endswith(".") else 0.0  # "Hola!" is said in English, "Hola." less so
    if lent and len(found) == 1 and english.get(found[0][0].lower(), 0.0) < _SELDOM:
        lent = 1.0
    weights: dict[str, float] = {}  # each once: "la la la" tells no more than "la"
    for word in found:
        if weight := lent if word.start() in borrowed else _NAME_WEIGHT if word in names else 1.0:
            small = word[0].lower()
            pieces = [small] if small in english else small.split("'")
            weights |= {piece: max(weights.get(piece, 0.0), weight) for piece in pieces}
    return list(weights.items())


@cache
def _known_words() -> dict[str, dict[str, float]]:
    """Language to its commonest words, and what share of its words each of them is."""
    codes = ("en", "es", "fr", *_IN_LATIN_LETTERS)
    return {code: get_frequency_dict({"no": "nb"}.get(code, code), "small") for code in codes}


def is_common_word(word: str, language: str) -> bool:
    """Whether it is one of the commonest words of a language in Latin letters."""
    return word.lower() in _known_words().get(language, {})


def is_a_word(word: str) -> bool:
    """Whether it is one of the commonest words of any of the languages in Latin letters, or in other letters."""
    return not _WORD.fullmatch(word) or any(word.lower() in known for known in _known_words().values())
