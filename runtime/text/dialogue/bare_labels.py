"""Labels without a colon. Each form is found separately, since each needs its own evidence.

- brackets: `[Name] words`, `<nick> words`, with a time stamp before, as in chat logs;
- stamps: `Name 0:02` on a line of its own, as transcription services write;
- cues, as in a screenplay: a name on a line of its own with speech right below;
- plays: `NAME. Words`, `NAME.— Words`, `NAME, laughing. — Words`, `NAME — Words`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from runtime.text.dialogue.label_parts import ASIDE, ITEM, MARKS, NAME, SHORT_NAME, SPACES, STAMP
from runtime.text.dialogue.label_words import ASKING_WORDS
from runtime.text.dialogue.labels import Label, Style, is_name, shown, speaker_number
from runtime.text.dialogue.talk import OPENERS
from runtime.text.readings.word_sets import words

_HTML_TAGS = words(
    "a abbr address article aside audio b base blockquote body br button caption center cite code col dd del  details "
    "div dl dt em embed figure font footer form frame head header hr html i iframe img input ins kbd label li  link "
    "main mark menu meta nav object ol option p param path picture pre q s samp script section select small  source "
    "span strike strong style sub summary sup svg table tbody td template textarea tfoot th thead time title tr tt  u "
    "ul var video se se_s se_e"
)
_HTML = re.compile(rf"{'|'.join(sorted(_HTML_TAGS))}|h[1-6]", re.IGNORECASE)

_LINE = rf"^{SPACES}(?:{ITEM}{SPACES})?(?:{STAMP}{SPACES})?{MARKS}"
_WORDS_FOLLOW = rf"{SPACES}(?=\S)"
_BRACKET = re.compile(
    rf"(?:(?P<opens>{_LINE})|(?<=[.!?…。！？])[\"”»’)」]?{SPACES}{MARKS})[\[【](?:{STAMP}{SPACES})?(?P<name>{NAME})[\]】]"
    rf"{MARKS}(?:{SPACES}\n)?{SPACES}(?=[^\s(:：\[【])",
    re.MULTILINE,
)
_NICK_WORD = r"[^\W\d][\w.^`|\[\]{}\\-]{0,30}"
_NICK = re.compile(
    rf"{_LINE}<(?:v |{STAMP}{SPACES})?[@+%~&! ]?(?P<name>{_NICK_WORD}(?: {_NICK_WORD}){{0,2}})>{_WORDS_FOLLOW}",
    re.MULTILINE,
)
_DAY_WORD = r"(?:today|yesterday|hoy|ayer|aujourd['’]hui|hier|今天|昨天)(?: at| a las| à)?[ \u00a0]?"
_STAMPED = re.compile(
    rf"^{SPACES}{MARKS}(?P<name>{SHORT_NAME}){MARKS}(?:[ \t\u00a0]|{SPACES}[-–—|,]){SPACES}"
    rf"[(\[]?(?:{_DAY_WORD})?{STAMP}[)\]]?{SPACES}\n(?:{SPACES}\n)?{_WORDS_FOLLOW}",
    re.MULTILINE | re.IGNORECASE,
)
_CUE = re.compile(
    rf"^{SPACES}{MARKS}(?P<name>{NAME}){MARKS}(?P<acted>(?:{SPACES}{ASIDE}{MARKS}){{0,2}}{SPACES}\n"
    rf"(?:{SPACES}\([^()\n]{{0,80}}\){SPACES}\n)?)(?={SPACES}\S)",
    re.MULTILINE,
)
_SLUG = re.compile(r"(?:INT|EXT|FADE|CUT|DISSOLVE|SCENE|ACT|THE END|CHAPTER|PART)\b")
_SCENE_HEADING = re.compile(rf"^{SPACES}(?:INT|EXT|INT\./EXT)\.", re.MULTILINE)
_ROMAN = re.compile(r"[IVXLC]+")
# Titles with a full stop behind them that ends no label; "KING." is one.
_TITLE = "(?:mlle|prof|capt|srta|sra|mme|mrs|sgt|rev|mr|ms|mx|dr|lt|st|sr|m)"
_SPELT = r"[^\W\d_][^\W_]{0,23}(?:['’‑-][^\W_]{1,23}){0,3}"
_PLAY = re.compile(
    rf"^{SPACES}{MARKS}(?P<name>(?:(?:{_TITLE}\.|[^\W\d_]\.|{_SPELT})[ \u00a0]{{1,3}}){{0,3}}?(?!{_TITLE}\.){_SPELT})"
    rf"{MARKS}(?:{SPACES}{ASIDE})?{MARKS}"
    rf"(?:(?:,[ \u00a0][^\n\d.,:;!?–—]{{1,40}})?\.{MARKS}{SPACES}[-–—]{{1,2}}|\.{MARKS}(?=\s)|{SPACES}[–—]{{1,2}}"
    rf"|[ \u00a0]-(?=[ \u00a0]))"
    rf"[^\S\n]{{0,40}}(?=\S)",
    re.MULTILINE | re.IGNORECASE,
)


def find_brackets(text: str) -> list[Label]:
    """The names in square brackets or in a chat's angle brackets."""
    labels = []
    for match in _NICK.finditer(text) if "<" in text and "</" not in text else ():
        if not _HTML.fullmatch(match["name"]):
            labels.append(Label(match.start(), match.end(), match["name"], "nick"))
    if labels or not ("[" in text or "【" in text):
        return labels
    for match in _BRACKET.finditer(text):
        name = shown(match["name"])
        if is_name(name) and name.casefold() != "x":
            labels.append(Label(match.start(), match.end(), name, "bracket", match["opens"] is not None))
    return labels


def find_stamped(text: str) -> list[Label]:
    """The names that have a line with a time of day, or of the recording."""
    return list(_of_names(_STAMPED.finditer(text), "stamp")) if ":" in text else []


def find_cues(text: str) -> list[Label]:
    """The names in capitals that are alone on the first line of a paragraph."""
    return [
        label
        for match, label in _cues(text)
        if label.name.isupper() and len(label.name) > 1 and not _SLUG.match(label.name) and _follows_a_gap(text, match)
    ]


def find_loose_cues(text: str) -> list[Label]:
    """The names of people that are alone on a line, even in lower case or without an empty line before."""
    return [label for _, label in _cues(text) if label.names_a_person]


def _cues(text: str) -> Iterator[tuple[re.Match[str], Label]]:
    for match in _CUE.finditer(text):
        name = shown(match["name"]).rstrip(".")
        if is_name(name):
            yield match, Label(match.start(), match.end(), name, "cue", acted=bool(match["acted"].strip()))


def _follows_a_gap(text: str, match: re.Match[str]) -> bool:
    return not text[text.rfind("\n", 0, max(0, match.start() - 1)) + 1 : match.start()].strip()


def find_plays(text: str) -> list[Label]:
    """The names at the start of a line with a full stop or a dash after them: in capitals, or people's with a dash."""
    labels = []
    for match in _PLAY.finditer(text):
        name = shown(match["name"])
        stopped = "." in text[match.end("name") : match.end()]
        label = Label(match.start(), match.end(), name, "play" if stopped else "dash")
        if not is_name(name) or not (name.isupper() or (label.names_a_person and not stopped)):
            continue
        if _SLUG.match(name) or _ROMAN.fullmatch(name) or name.casefold() in OPENERS:
            continue
        if len(name) > 1 or label.key in ASKING_WORDS:
            labels.append(label)
    return labels


def has_scene_headings(text: str) -> bool:
    """Whether its headings show that it is a script: `INT. KITCHEN - NIGHT`."""
    return bool(_SCENE_HEADING.search(text))


def _of_names(found: Iterator[re.Match[str]], style: Style) -> Iterator[Label]:
    for match in found:
        name = shown(match["name"]).strip(" -–—|")
        if (number := speaker_number(name)) is not None:
            yield Label(match.start(), match.end(), f"SPEAKER{number}", "tag")
        elif is_name(name):
            yield Label(match.start(), match.end(), name, style)
