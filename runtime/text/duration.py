"""How long a text takes to say, from its syllables and pauses: the budget of the runaway guard.

The rates are those of people reading aloud, without pauses over 150 ms: the mean over the recordings of ten speakers
per language in the published data of Coupé, Oh, Dediu, Pellegrino, "Different languages, similar encoding efficiency"
(Science Advances 5, 2019, eaaw2594; InfoRateData.csv of the authors' supplementary repository, syllables divided by
seconds). The slowest of its 17 languages is Thai; single recordings differ from their language's mean by up to 43 %.
A synthesiser is less hurried than practised readers: the voice part of flite's sentences in
demo/checkpoint/held_out.json takes 1.4 times that. A slow, emphatic or singing voice takes several times as long and a
hurried one half, hence the wide bounds, which are a judgement and no measurement; one word alone is drawn out and has
silence around it, which the seconds added to the longest allow for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SYLLABLES_PER_SECOND = {"en": 6.34, "zh": 5.86, "es": 7.73, "fr": 6.88}
_SLOWEST_KNOWN = 4.70
_UNHURRIED = 1.4
_EDGES = 0.3  # seconds of silence around the words
_PAUSES = {",": 0.3, ";": 0.4, ":": 0.4, ".": 0.6, "!": 0.6, "?": 0.6}
_EVENT_SECONDS = 1.5
_SOUNDS_PER_SECOND = 11
_FASTEST, _SLOWEST = 0.33, 3.2  # times the expected
_SPARE = 2.0  # seconds that `longest` adds: a breath before, a laugh after

EVENT = re.compile(r"<SE(?:_[se])?>[^<>\n]*</SE(?:_[se])?>")
_IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_VOWEL = "aeiouyàáâäãåæèéêëìíîïòóôöõøùúûüýœаеёиоуыэюя"
_VOWELS = re.compile(rf"[{_VOWEL}]+")
# "th" and "ll" are one; a digit or a character of Chinese has one at least.
_CONSONANT = re.compile(rf"[\d\u3040-\u30ff\u3400-\u9fff]|([^\W\d_{_VOWEL}])(?:\1|h|(?<=c)k)?")
_SILENT_E = re.compile(r"(?<=[^aeiouyl])e(?:s|d)?$")
_PAUSE = re.compile(r"[,;:.!?]+")
_BEFORE_PAUSE = re.compile(r"[,;:.!?][\W_]*$")
_SLOWED = 1.5  # sounds that the last word before a pause takes longer


@dataclass(frozen=True)
class DurationEstimate:
    """Seconds of speech: less than `shortest` or more than `longest` is not a reading of the text."""

    shortest: float
    expected: float
    longest: float


def estimate(text: str, language: str) -> DurationEstimate:
    """The time that a normalised text takes. Languages without a measured rate count as slow as the slowest."""
    words = EVENT.sub(" ", text)
    spoken = spoken_seconds(words, language)
    events = len(EVENT.findall(text))
    pauses = sum(_PAUSES[mark.group()[0]] for mark in _PAUSE.finditer(words.rstrip(" .!?,;:\n")))
    expected = _EDGES + spoken + pauses + events * _EVENT_SECONDS
    return DurationEstimate(
        shortest=_FASTEST * spoken,
        expected=expected,
        longest=_SLOWEST * expected + _SPARE,
    )


def spoken_seconds(text: str, language: str) -> float:
    """The seconds that normalised words take, or a sound event, without the pauses between them."""
    events = len(EVENT.findall(text))
    rate = _SYLLABLES_PER_SECOND.get(language, _SLOWEST_KNOWN)
    return _UNHURRIED * _syllables(EVENT.sub(" ", text), language) / rate + events * _EVENT_SECONDS


def sounds(word: str, language: str) -> float:
    """How long a normalised word takes beside others, in sounds: a vowel and a consonant count alike."""
    if EVENT.search(word):
        return _EVENT_SECONDS * _SOUNDS_PER_SECOND
    consonants = sum(1 for _ in _CONSONANT.finditer(word.lower()))
    return _syllables(word, language) + consonants + (_SLOWED if _BEFORE_PAUSE.search(word) else 0.0)


def _syllables(text: str, language: str) -> int:
    """About how many syllables; a digit or letter sequence that normalisation left alone counts one each."""
    ideographs = len(_IDEOGRAPH.findall(text))
    letters = _IDEOGRAPH.sub(" ", text).lower()
    total = ideographs + sum(c.isdigit() for c in letters)
    for word in _WORD.findall(letters):
        total += _word_syllables(word, language)
    return total


def _word_syllables(word: str, language: str) -> int:
    groups = len(_VOWELS.findall(word))
    if groups == 0:
        return len(word)  # spelled out, like "NHS"
    if groups > 1 and language in ("en", "fr") and _SILENT_E.search(word):
        groups -= 1
    return groups
