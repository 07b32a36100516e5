"""Where a text may name a speaker: every spot that looks like a label, whoever or whatever it names.

A label is one of these, with a time stamp or Markdown's marks around it, an aside in brackets behind the name, white
space of any kind, and invisible characters anywhere:
- a tag: `[SPEAKER0]`, `[S1]` anywhere, `SPEAKER_00:` at the start of a line;
- a name and a colon, `Name:` or `Name：`, at the start of a line or behind the end of a sentence;
- a cue, as in a screenplay: a name in capitals on a line of its own with speech right below.
Whether the text is a transcript, and which of these are labels then, is `transcript.py`'s question.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from runtime.text.dialogue.label_words import ASIAN_LABEL_ENDINGS, ASIAN_LABEL_WORDS, LABEL_WORDS, NUMBER_WORDS
from runtime.text.dialogue.person_words import ARTICLES, is_first_name, is_person
from runtime.text.readings.word_sets import words

_MOST_WORDS, _MOST_CHARACTERS, _MOST_HAN = 4, 40, 8
_NAMES = 1024  # a long transcript has the same ones again and again
# What stands before reported speech: "Anna said: I will come." is read out whole.
_SAYING = words(
    "said says asked asks replied replies answered wrote writes added adds shouted cried whispered dijo dice preguntó "
    "respondió contestó escribió añadió dit demanda répondit écrivit ajouta sagte fragte disse"
)
_LINKS = words("de del la las los da das do dos di du des van von den der zu of the and y e et und bin al el")

# Every repetition is bounded, so that no text takes more than linear time.
HIDDEN = "\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
_SPACE = rf"[ \t\r\f\v\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000{HIDDEN}]"
_SPACES = rf"{_SPACE}{{0,40}}"
_TIME = r"\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d{1,3})?(?:[ \u00a0\u202f]?[AaPp]\.?[Mm]\.?)?"
_DAY = r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}[,T]?[ \u00a0]?"
_STAMP = rf"(?:[\[(<](?:{_DAY})?{_TIME}[\])>]|(?:{_DAY})?{_TIME})(?:{_SPACES}[-–—|])?"
_MARKS = r"[*_]{0,3}"
_EMOJI = "[\u2600-\u27bf\U0001f300-\U0001faff][\ufe0f\U0001f3fb-\U0001f3ff]?"
_ITEM = rf"(?:[-•]|#{{1,6}}(?={_SPACE})|(?:{_EMOJI}){{1,3}})"
_NO_LETTERS = r"\s:：()\[\]（）【】*<>\"“”«»‹›„「」『』,，、;；!！?？…。|/=#{}"
_WORD = rf"[^{_NO_LETTERS}{HIDDEN}][^{_NO_LETTERS}]{{0,23}}"
_NAME = rf"{_WORD}(?:[ \t\u00a0\u202f]{{1,3}}{_WORD}){{0,3}}"
_NO_TAG = r"(?!\s{0,9}[Ss](?:[Pp][Ee][Aa][Kk][Ee][Rr][ _-]?)?\d)"
_ASIDE = rf"(?:\([^()\n]{{0,60}}\)|（[^（）\n]{{0,60}}）|\[{_NO_TAG}[^\[\]\n]{{0,60}}\]|【[^【】\n]{{0,60}}】)"
_COLON = rf"(?:[:：](?:{_MARKS}(?=\s|$)|(?=[^\s\d/\\:：])))"
_BEHIND = rf"{_MARKS}(?:{_SPACES}{_ASIDE}{_MARKS}){{0,2}}{_SPACES}"
_AT_LINE = re.compile(
    rf"^{_SPACES}(?:>{_SPACES})?(?:{_ITEM}{_SPACES})?(?:{_STAMP}{_SPACES})?{_MARKS}(?:{_STAMP}{_SPACES})?"
    rf"(?P<bracket>\[)?(?P<name>{_NAME})(?(bracket)\]){_BEHIND}{_COLON}",
    re.MULTILINE,
)
_IN_LINE = re.compile(rf"(?<=[.!?…。！？])[\"”»’)」]?{_SPACES}{_MARKS}(?P<name>{_NAME}){_BEHIND}{_COLON}")
_TAG = re.compile(
    rf"(?:^{_SPACES}(?:{_STAMP}{_SPACES})?)?{_MARKS}\[{_SPACES}"
    rf"(?:SPEAKER[ _-]?(?P<number>[0-9]{{1,4}})|(?P<short>S[0-9]{{1,2}})){_SPACES}\]"
    rf"{_MARKS}(?:{_SPACES}[:：]{_MARKS})?",
    re.MULTILINE | re.IGNORECASE,
)
_CUE = re.compile(
    rf"^{_SPACES}{_MARKS}(?P<name>{_NAME}){_MARKS}(?:{_SPACES}{_ASIDE}{_MARKS}){{0,2}}{_SPACES}\n"
    rf"(?:{_SPACES}\([^()\n]{{0,80}}\){_SPACES}\n)?(?={_SPACES}\S)",
    re.MULTILINE,
)
_NUMBERED = re.compile(r"(SPEAKER)[ _-]?([0-9]{1,4})|S([0-9]{1,2})", re.IGNORECASE)
_INVISIBLE = re.compile(rf"[{HIDDEN}]")
_HAN_OR_KANA = re.compile("[\u3040-\u30ff\u3400-\u9fff]")
_ASIAN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_SLUG = re.compile(r"(?:INT|EXT|FADE|CUT|DISSOLVE|SCENE|ACT|THE END|CHAPTER|PART)\b")

_ORDINAL = re.compile(r"\d{1,2}(?:st|nd|rd|th)")

Style = Literal["tag", "colon", "cue"]


@dataclass(frozen=True)
class Label:
    """A spot of a text, from `start` to `end`, that may name who says what follows. `opens`: it begins a line."""

    start: int
    end: int
    name: str
    style: Style
    opens: bool

    @property
    def key(self) -> str:
        """The same for all spellings of one speaker."""
        return speaker_key(self.name)

    @property
    def names_a_person(self) -> bool:
        """Whether it is surely somebody's name, or what people are called."""
        return _names_a_person(self.name)

    @property
    def is_a_first_name(self) -> bool:
        """Whether it is a first name alone."""
        return is_first_name(_plain(self.name).split())

    @property
    def is_a_heading(self) -> bool:
        """Whether it is one of the words that stand before a colon and name nobody."""
        return _is_a_heading(self.name)


@lru_cache(_NAMES)
def speaker_key(name: str) -> str:
    """The same for all spellings of a speaker: in any case, with accents of both forms, `SPEAKER_00` and `SPEAKER0`."""
    if found := _NUMBERED.fullmatch(name):
        return f"speaker{int(found[2])}" if found[2] else f"s{int(found[3])}"
    return " ".join(unicodedata.normalize("NFC", _INVISIBLE.sub("", name)).casefold().split())


def find_labels(text: str) -> list[Label]:
    """Everything in the text that has the form of a label, in order and apart from each other, cues left out."""
    found = _tags(text) if "[" in text else []
    if ":" in text or "：" in text:
        found += [*_named(text, _AT_LINE, True), *_named(text, _IN_LINE, False)]
    labels: list[Label] = []
    for label in sorted(found, key=lambda one: (one.start, -one.end)):
        if not labels or label.start >= labels[-1].end:
            labels.append(label)
    return labels


def find_cues(text: str) -> list[Label]:
    """The names in capitals that stand alone on the first line of a paragraph."""
    cues = []
    for match in _CUE.finditer(text):
        name = _shown(match["name"]).rstrip(".")
        line_before = text[text.rfind("\n", 0, max(0, match.start() - 1)) + 1 : match.start()]
        if line_before.strip() or not name.isupper() or len(name) < 2 or _SLUG.match(name):
            continue
        if _is_name(name):
            cues.append(Label(match.start(), match.end(), name, "cue", True))
    return cues


def _tags(text: str) -> list[Label]:
    """The tags in brackets; short ones only where one begins a line, for in prose they are references."""
    tags = []
    for match in _TAG.finditer(text):
        name = f"SPEAKER{int(match['number'])}" if match["number"] else match["short"].upper()
        tags.append(
            Label(match.start(), match.end(), name, "tag", match.start() == 0 or text[match.start() - 1] == "\n")
        )
    short_ones = any(tag.opens and tag.name.startswith("S") and tag.name[1].isdigit() for tag in tags)
    return tags if short_ones else [tag for tag in tags if tag.name.startswith("SPEAKER")]


def _named(text: str, pattern: re.Pattern[str], opens: bool) -> Iterator[Label]:
    for match in pattern.finditer(text):
        name = _shown(match["name"])
        numbered = _NUMBERED.fullmatch(name)
        if numbered and numbered[2] and opens:
            yield Label(match.start(), match.end(), f"SPEAKER{int(numbered[2])}", "tag", opens)
        elif _is_name(name) and (opens or not name.islower()):
            yield Label(match.start(), match.end(), name, "colon", opens)


def _shown(name: str) -> str:
    """The name without what hides in it and the full stop that a play may set behind it."""
    shown = " ".join(_INVISIBLE.sub("", name).strip("_").split())
    return shown[:-1] if re.search(r"[^\W.]{4}\.$", shown) else shown


@lru_cache(_NAMES)
def _is_name(name: str) -> bool:
    """Whether somebody may be called that: a few words of letters, in capitals where the script has them."""
    parts = name.split()
    if not 1 <= len(parts) <= _MOST_WORDS or len(name) > _MOST_CHARACTERS:
        return False
    if _HAN_OR_KANA.search(name):
        return len(name) <= _MOST_HAN and all(_is_letter(c) or c.isdigit() or c in "·・ー " for c in name)
    if not all(_is_word(word, first=place == 0) for place, word in enumerate(parts)):
        return False
    if parts[-1] in _SAYING and len(parts) > 1:
        return False
    small = [word for word in parts[1:] if word[0].islower() and word.casefold() not in _LINKS]
    if parts[0][0].islower():
        return all(word.isdigit() for word in parts[1:])
    return not small or _names_a_person(name)


def _is_word(word: str, first: bool) -> bool:
    if not _is_letter(word[0]):
        if first and _ORDINAL.fullmatch(word):
            return True
        return not first and (word == "&" or (word.isdigit() and len(word) <= 3))
    bare = word.rstrip(".")
    if len(word) - len(bare) > 1 or (word != bare and len(bare) > 5):
        return False
    return all(_is_letter(c) or c.isdigit() or c in "'’-‑.·" for c in bare) and ".." not in bare


def _is_letter(character: str) -> bool:
    return character.isalpha() or unicodedata.category(character)[0] == "M"


def _plain(name: str) -> str:
    """Lower-case; Latin letters without accents."""
    folded = unicodedata.normalize("NFC", name).casefold()
    return "".join(unicodedata.normalize("NFD", c)[0] if "\u00c0" <= c <= "\u024f" else c for c in folded).replace(
        "’", "'"
    )


@lru_cache(_NAMES)
def _names_a_person(name: str) -> bool:
    if _NUMBERED.fullmatch(name):
        return True
    parts = _plain(name).split()
    while len(parts) > 1 and (parts[0] in ARTICLES or _ORDINAL.fullmatch(parts[0])):
        parts = parts[1:]
    while len(parts) > 1 and (parts[-1].isdigit() or len(parts[-1]) == 1 or parts[-1] in NUMBER_WORDS):
        parts = parts[:-1]
    return is_person(parts)


@lru_cache(_NAMES)
def _is_a_heading(name: str) -> bool:
    if _ASIAN.search(name):
        return name in ASIAN_LABEL_WORDS or name.endswith(ASIAN_LABEL_ENDINGS) or (name[0] == "第" and len(name) > 1)
    parts = [word.rstrip(".") for word in _plain(name).split()]
    if len(parts) > 1 and parts[-1] in LABEL_WORDS and parts[-1] not in NUMBER_WORDS:
        return True
    return parts[0] in LABEL_WORDS and (len(parts) == 1 or not _names_a_person(name))
