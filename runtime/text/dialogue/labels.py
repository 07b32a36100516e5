"""Where a text may name a speaker: every spot that looks like a label, whoever or whatever it names.

A label is one of these, optionally with a time stamp or Markdown's marks around it, an aside in brackets after the
name, white space of any kind, and invisible characters anywhere:
- a tag: `[SPEAKER0]`, `[S1]` anywhere, `SPEAKER_00:` at the start of a line;
- a name and a colon, `Name:` or `Name：`, at the start of a line (also of a numbered list item) or after the end of a
  sentence; or a number and a colon, `1:`, at the start of a line;
- a label without a colon (`bare_labels.py`): `[Name]`, `<nick>`, a name on a line of its own, `NAME.` in a play.
`transcript.py` decides whether the text is a transcript, and which of these are then labels.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from runtime.text.dialogue.label_parts import ASIDE, EMOJI, HIDDEN, ITEM, MARKS, NAME, SPACES, SPEAKER_NUMBER, STAMP
from runtime.text.dialogue.label_words import ASIAN_LABEL_ENDINGS, ASIAN_LABEL_WORDS, LABEL_WORDS, NUMBER_WORDS
from runtime.text.dialogue.person_words import ARTICLES, CHINESE_PEOPLE, is_first_name, is_person
from runtime.text.languages import is_a_word
from runtime.text.readings.word_sets import words

_MOST_WORDS, _MOST_CHARACTERS, _MOST_HAN = 4, 40, 8
_NAMES = 1024  # a long transcript repeats the same names
# What precedes reported speech: "Anna said: I will come." is read out whole.
_SAYING = words(
    "said says asked asks replied replies answered wrote writes added adds shouted cried whispered dijo dice preguntó "
    "respondió contestó escribió añadió dit demanda répondit écrivit ajouta sagte fragte disse"
)
_LINKS = words("de del la las los da das do dos di du des van von den der zu of the and y e et und bin al el")

_COLON = rf"(?:[:：](?:{MARKS}(?=\s|$)|(?=[^\s\d/\\:：])))"
_BEHIND = rf"{MARKS}(?:{SPACES}{EMOJI}){{0,3}}(?:{SPACES}{ASIDE}{MARKS}){{0,2}}{SPACES}"
_AT_LINE = re.compile(
    rf"^{SPACES}(?:>{SPACES})?(?P<item>{ITEM}{SPACES})?(?:{STAMP}{SPACES})?{MARKS}(?:{STAMP}{SPACES})?"
    rf"(?P<bracket>[\[【“「\"])?(?P<name>{NAME}|\d{{1,2}})(?(bracket)[\]】”」\"]){_BEHIND}{_COLON}",
    re.MULTILINE,
)
_IN_LINE = re.compile(rf"(?<=[.!?…。！？])[\"”»’)」]?{SPACES}{MARKS}(?P<name>{NAME}){_BEHIND}{_COLON}")
_TAG = re.compile(
    rf"(?:^{SPACES}(?:{ITEM}{SPACES})?(?:{STAMP}{SPACES})?)?{MARKS}\[{SPACES}"
    rf"(?:{SPEAKER_NUMBER}|(?P<short>S[0-9]{{1,2}})){SPACES}\]"
    rf"{MARKS}(?:{SPACES}[:：]{MARKS})?",
    re.MULTILINE | re.IGNORECASE,
)
_NUMBERED = re.compile(rf"{SPEAKER_NUMBER}|S([0-9]{{1,2}})", re.IGNORECASE)
_INVISIBLE = re.compile(rf"[{HIDDEN}]")
_TO_ALL = re.compile(r"From (\S.*) to Everyone", re.IGNORECASE)  # as Zoom writes its chats down
_HAN_OR_KANA = re.compile("[\u3040-\u30ff\u3400-\u9fff]")
_ASIAN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_ORDINAL = re.compile(r"\d{1,2}(?:st|nd|rd|th)")

Style = Literal["tag", "colon", "number", "bracket", "nick", "stamp", "cue", "play", "dash"]


@dataclass(frozen=True)
class Label:
    """A spot of a text, from `start` to `end`, that may name who says what follows.

    `opens`: it begins a line. `counted`: as an item of a numbered list. `acted`: it says how, as a script does.
    """

    start: int
    end: int
    name: str
    style: Style
    opens: bool = True
    counted: bool = False
    acted: bool = False

    @property
    def key(self) -> str:
        """The same for all spellings of one speaker."""
        return speaker_key(self.name)

    @property
    def names_a_person(self) -> bool:
        """Whether it is surely a person's name, or a word for a person."""
        return _names_a_person(self.name)

    @property
    def may_be_a_person(self) -> bool:
        """Whether, being a heading, it is what people are called too: "Author"; not "孔子说", who is said to say it."""
        return self.names_a_person and (not _ASIAN.search(self.name) or self.name.endswith(CHINESE_PEOPLE))

    @property
    def is_a_first_name(self) -> bool:
        """Whether it is a first name alone."""
        return is_first_name(_plain(self.name).split())

    @property
    def tells_a_manner(self) -> bool:
        """Whether what stands in brackets says how something is said, or what is heard: `[softly]`, `[Applause]`."""
        return self.style == "bracket" and not self.names_a_person and self.is_made_of_words

    @property
    def is_made_of_words(self) -> bool:
        """Whether it consists of common words, or has no Latin letters, so that it is no evidence."""
        return not any(c.isdigit() for c in self.name) and all(map(is_a_word, re.findall(r"[^\W\d_]+", self.name)))

    @property
    def is_a_heading(self) -> bool:
        """Whether it is one of the words that precede a colon but do not name a speaker."""
        return _is_a_heading(self.name)


@lru_cache(_NAMES)
def speaker_key(name: str) -> str:
    """The same for all spellings of a speaker: in any case, with accents of both forms, `SPEAKER_00` and `SPEAKER0`."""
    if found := _NUMBERED.fullmatch(name):
        return f"speaker{int(found[1])}" if found[1] else f"s{int(found[2])}"
    return " ".join(unicodedata.normalize("NFC", _INVISIBLE.sub("", name)).casefold().split())


def find_labels(text: str) -> list[Label]:
    """Everything in the text that looks like a label, in order and without overlaps, except cues."""
    found = _tags(text) if "[" in text else []
    if ":" in text or "：" in text:
        found += [*_named(text, _AT_LINE, True), *_named(text, _IN_LINE, False)]
    labels: list[Label] = []
    for label in sorted(found, key=lambda one: (one.start, -one.end)):
        if not labels or label.start >= labels[-1].end:
            labels.append(label)
    return labels


def _tags(text: str) -> list[Label]:
    """The tags in brackets; short ones only where one begins a line, for in prose they are references."""
    tags = []
    for match in _TAG.finditer(text):
        name = f"SPEAKER{int(match[1])}" if match[1] else match["short"].upper()
        tags.append(
            Label(match.start(), match.end(), name, "tag", match.start() == 0 or text[match.start() - 1] == "\n")
        )
    short_ones = any(tag.opens and tag.name.startswith("S") and tag.name[1].isdigit() for tag in tags)
    return tags if short_ones else [tag for tag in tags if tag.name.startswith("SPEAKER")]


def _named(text: str, pattern: re.Pattern[str], opens: bool) -> Iterator[Label]:
    for match in pattern.finditer(text):
        name = shown(match["name"])
        counted = opens and (match["item"] or "")[:1].isdigit()
        if opens and (number := speaker_number(name)) is not None:
            yield Label(match.start(), match.end(), f"SPEAKER{number}", "tag", opens)
        elif name.isdigit():
            yield Label(match.start(), match.end(), name, "number", opens)
        elif is_name(name) and (opens or not name.islower()):
            yield Label(match.start(), match.end(), name, "colon", opens, counted)


def speaker_number(name: str) -> int | None:
    """The number of `SPEAKER0` in any spelling; None for another name."""
    found = _NUMBERED.fullmatch(name)
    return int(found[1]) if found and found[1] else None


def shown(name: str) -> str:
    """The name without invisible characters and without the full stop that a play may put after it."""
    seen = _TO_ALL.sub(r"\1", " ".join(_INVISIBLE.sub("", name).strip("_").split()))
    return seen[:-1] if re.search(r"[^\W.]{4}\.$", seen) else seen


@lru_cache(_NAMES)
def is_name(name: str) -> bool:
    """Whether it can be a name: a few words of letters, capitalised if the script has capitals."""
    parts = name.split()
    if not 1 <= len(parts) <= _MOST_WORDS or len(name) > _MOST_CHARACTERS:
        return False
    if _HAN_OR_KANA.search(name):
        return len(name) <= _MOST_HAN and all(_is_letter(c) or c.isdigit() or c in "·・ー " for c in name)
    if not all(_is_word(word, first=place == 0) for place, word in enumerate(parts)):
        return False
    underscored = "_" in name and not any(is_first_name([part]) for part in re.findall(r"[^\W\d_]+", _plain(name)))
    if underscored or (parts[-1] in _SAYING and len(parts) > 1):  # "disk_monitor" names nobody, "ninja_kate" does
        return False
    small = [word for word in parts[1:] if word[0].islower() and word.casefold() not in _LINKS]
    if parts[0][0].islower() and not (parts[0] in _LINKS and parts[-1][0].isupper()):
        return all(word.isdigit() for word in parts[1:]) or (name.islower() and _names_a_person(name))
    return not small or _names_a_person(name)


def _is_word(word: str, first: bool) -> bool:
    if not _is_letter(word[0]):
        if first and _ORDINAL.fullmatch(word):
            return True
        return not first and (word == "&" or (word.lstrip("#").isdigit() and len(word) <= 4))
    bare = word.rstrip(".")
    if len(word) - len(bare) > 1 or (word != bare and len(bare) > 5):
        return False
    return all(_is_letter(c) or c.isdigit() or c in "'’-‑.·_" for c in bare) and ".." not in bare


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
    while len(parts) > 1 and (parts[-1].lstrip("#").isdigit() or len(parts[-1]) == 1 or parts[-1] in NUMBER_WORDS):
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
