"""Removes what a text contains but is not said: invisible and control characters, entities, tags, emoji, Markdown.

Nothing here removes a spoken letter or digit, or joins two words: what is removed between two words leaves a space,
except marks that only say where a word may be broken.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable

from runtime.text.hypertext import without_tags

_NOTHING, _SPACE = "", " "
_TERMINAL = re.compile("\x1b\\[[0-9;?]*[A-Za-z]")  # colours and the like
_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028]")
_HYPHENATED = re.compile("\xad+[ \t]*(?:\r\n|[\r\n\x0b\x0c\x85\u2028])[ \t]*(?=\\w)")  # a word broken at a line's end
_VISIBLE_FORMAT = "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"  # signs around numbers
_ODD = re.compile(r"[^ -~\w]")  # whatever may be one of them
# Scripts whose letters change their shape, and their words, by joiners.
_JOINING = "\u0600-\u08ff\ufb50-\ufdff\ufe70-\ufefc\u0900-\u0dff\u0f00-\u109f\u1780-\u18af"
_STRAY_JOINER = re.compile(f"(?<![{_JOINING}])[\u200c\u200d]+|[\u200c\u200d]+(?=\\s|$)")
_INVISIBLE_LETTERS = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0"
_VARIATIONS = "\ufe00-\ufe0f\U000e0100-\U000e01ef\u20e3"  # the last is a keycap's frame, whose digit stays
_UNSEEN = re.compile(f"[{_INVISIBLE_LETTERS}{_VARIATIONS}]")
# Letters and digits in another dress: full width, mathematical alphabets, a typesetter's ligatures, circled letters.
_DRESSED = re.compile(
    "[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7ff\ufb00-\ufb06\u24b6-\u24e9"
    "\U0001f130-\U0001f149\u203c\u2047-\u2049]"
)

_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")

_PICTURES = (
    "\u2300-\u2426\u2500-\u2775\u2794-\u27bf\u2b00-\u2bff\U0001f000-\U0001f0ff\U0001f10d-\U0001f12f"
    "\U0001f14a-\U0001faff"
)
_EMOJI = re.compile(rf"\s?(?:(?![\u266d-\u266f])[{_PICTURES}]\u200d?\s?)+")


def legible(text: str) -> str:
    """The text without invisible characters, in composed form (NFC), and without HTML's entities and tags.

    These stay: the no-break spaces that French puts before punctuation; the joiners of Persian and of India's scripts;
    U+0000 and lone surrogates, which the caller must refuse. Line and paragraph separators, form feeds and the like
    become line breaks; other control characters, private and unassigned ones become a space.
    """
    if text.isascii() and text.isprintable() and not re.search("[&<]", text):
        return text
    for _ in range(2):  # an entity may have been escaped once more on its way
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    text = _TERMINAL.sub(_NOTHING, without_tags(text))
    text = _HYPHENATED.sub(_NOTHING, text).replace("\u2029", "\n\n")
    text = unicodedata.normalize("NFC", _LINE_ENDS.sub("\n", text))
    text = _DRESSED.sub(lambda match: unicodedata.normalize("NFKC", match[0]), _UNSEEN.sub(_NOTHING, text))
    return _STRAY_JOINER.sub(_NOTHING, _ODD.sub(_seen, text))


def _seen(match: re.Match[str]) -> str:
    """A character, or what is left of it."""
    character = match[0]
    if character in "\u200c\u200d\n\t\x00" or "\ud800" <= character <= "\udfff":
        return character
    category = unicodedata.category(character)
    if category == "Cf":
        return character if re.match(f"[{_VISIBLE_FORMAT}]", character) else _NOTHING
    # U+FFFC stands for a picture, U+FFFD for what was lost in transmission.
    return _SPACE if category in ("Cc", "Co", "Cn") or character in "\ufffc\ufffd\u2800" else character


def without_pictures(text: str) -> str:
    """The text without emoji, flags, dingbats and drawn lines, which are silence; © ® ™ ° № and ♭ ♯ stay."""

    def gap(match: re.Match[str]) -> str:
        at_edge = match.start() == 0 or match.end() == len(text)
        if "\n" in match[0]:
            return "\n"
        return _NOTHING if at_edge or text[match.end()] in ".,;:!?)]}”’»…。，！？；：" else _SPACE

    return _EMOJI.sub(gap, text)


# Where a mark of emphasis may stand: not inside a word, as in snake_case or 2*3*4; Chinese has no spaces to stand at.
_NO_SPACES = "\u2e80-\u9fff\uac00-\ud7af"
_OUTSIDE, _BEHIND = rf"(?<![^\W{_NO_SPACES}])", rf"(?![^\W{_NO_SPACES}])"


def _marked(mark: str, before: str, behind: str, within: str) -> re.Pattern[str]:
    """Up to 1,000 characters between two equal marks, not across an empty line; what is nested goes first."""
    inside = rf"(?=\S)((?:(?!\n[ \t]*\n){within}){{1,1000}}?)(?<=\S)"
    return re.compile(rf"(?<!\\){before}({mark}){inside}\1{behind}")


_EMPHASIS = {
    "*": _marked(r"\*{1,3}", rf"(?<!\*){_OUTSIDE}", rf"(?!\*){_BEHIND}", r"[^*]"),
    "_": _marked(r"_{1,3}", r"(?<!\w)", r"(?!\w)", r"(?:[^_]|(?<=[^\W_])_(?=[^\W_]))"),
    "~": _marked("~~", "(?<!~)", "(?!~)", r"[^~]"),
    "`": _marked("`{1,2}", "(?<!`)", "(?!`)", r"[^`]"),
    "==": _marked("==", rf"(?<!=){_OUTSIDE}", rf"(?!=){_BEHIND}", r"[^=]"),
    "++": _marked(r"\+\+", rf"(?<!\+){_OUTSIDE}", rf"(?!\+){_BEHIND}", r"[^+]"),
}
_NESTED = 4
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})[^`~]*")
_TITLE = r"(?:\s+(?:\"[^\"\n]*\"|'[^'\n]*'))?"
_ADDRESS = r"(?=[^\s()<>]{0,300}[./#:@])(?:[^\s()<>]|\([^\s()<>]{0,300}\)){1,1000}"  # words in brackets are none
_TARGET = rf"\(\s*<?{_ADDRESS}>?{_TITLE}\s*\)"
_LINK = re.compile(rf"!?(?<!\w)\[((?:[^\[\]\n]|\\[\[\]]){{0,500}})\](?:{_TARGET}|\(\s*\))")
_DEFINED = re.compile(
    r"^[ \t]{0,3}\[([^\]\n^]+)\]:[ \t]+<?(?:[a-z]+:|/|#|\.)\S*(?:[ \t]+[\"'(][^\n]*)?[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
_FOOTNOTE = re.compile(r"[ \t]?\[\^[^\]\s]{1,40}\](?=[.,;!?](?!\S))|\[\^[^\]\s]{1,40}\]:?")
# "1999.[4][5]", "him[2, 3] in": behind a mark or a word, and not followed as an array's index is.
_NOTE_MARKS = re.compile(
    r"(?<=[^\W\d_][^\W\d_]|[\w)][.,;:!?…。，；！？]|[0-9][0-9]|[.!?][\"”’»)])"
    r"(?:\[[1-9][0-9]{0,2}(?:(?:, ?|[-–])[1-9][0-9]{0,2})*\])+"
    r"(?=\s*$|\s+[^\W_]|\s+[\"“«(¿¡—–]|[.,;:!?)](?!\w)|[。，；！？\u3400-\u9fff])",
    re.MULTILINE,
)
_AUTOLINK = re.compile(r"<((?:https?://|mailto:)[^\s<>]+|[^\s<>@]+@[^\s<>@]+\.[^\s<>@]+)>")
_RULE = re.compile(r"^[ \t]*(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,}|={3,}[ \t]*)$", re.MULTILINE)
_HEADING = re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+(\S[^\n]*)$", re.MULTILINE)
_CLOSING_HASHES = re.compile(r"(?<=[ \t])#+$")
_QUOTE = re.compile(r"^[ \t]*>(?:[ \t]?>)*(?:[ \t]|(?=[^\W\d_])|$)", re.MULTILINE)
_ITEM = re.compile(r"^[ \t]*[-*+•‣◦▪●][ \t]+(?:\[[ xX]\][ \t]+)?(?=\S)", re.MULTILINE)
_TABLE_RULE = re.compile(r"(?=[^\n]*-)(?=[^\n]*\|)[-|: \t]+")
_HARD_BREAK = re.compile(r"(?<![\\:])\\(?=\n)")
_ESCAPED = re.compile(r"\\([\\`*_{}\[\]#+!~|>-])")


def without_markdown(text: str) -> str:
    """The text without Markdown's marks; a link leaves its words, a picture its alternative text.

    Headings, list items, table rows and the text around a rule become separate paragraphs. Sound events, speaker labels
    and arithmetic do not count as Markdown, nor does a mark without a partner.
    """
    if not re.search(r"[#*_`~\[|>+•‣◦▪●=\\-]", text):
        return text
    changes: list[Callable[[str], str]] = [
        _without_fences,
        _without_tables,
        lambda t: _RULE.sub("\n", t),
        lambda t: _QUOTE.sub("", t),
        lambda t: _HEADING.sub(lambda match: f"\n{_CLOSING_HASHES.sub('', match[1].rstrip()).rstrip()}\n", t),
        lambda t: _ITEM.sub("\n", t),
        _without_links,
    ]
    for change in changes:
        text = change(text)
    for _ in range(_NESTED):
        for mark in filter(text.__contains__, _EMPHASIS):
            text = _EMPHASIS[mark].sub(r"\2", text)
    return _ESCAPED.sub(r"\1", _HARD_BREAK.sub(_NOTHING, text))


def _without_fences(text: str) -> str:
    """Keep what is between two fences, line by line; a fence that is never closed does not count."""
    if "```" not in text and "~~~" not in text:
        return text
    lines, opened = text.split("\n"), ""
    fences: list[int] = []
    for number, line in enumerate(lines):
        match = _FENCE.fullmatch(line)
        if match and (not opened or line.strip().startswith(opened)):
            opened = "" if opened else match[1]
            fences.append(number)
    if len(fences) % 2:
        fences.pop()
    fenced = set(fences)
    return "\n".join(line for number, line in enumerate(lines) if number not in fenced)


def _without_links(text: str) -> str:
    known = {match[1].casefold() for match in _DEFINED.finditer(text)}
    text = _NOTE_MARKS.sub(_NOTHING, _DEFINED.sub("", text))
    if known:
        text = re.sub(
            r"!?\[([^\[\]\n]+)\](?: ?\[([^\[\]\n]*)\])?",
            lambda match: match[1] if (match[2] or match[1]).casefold() in known else match[0],
            text,
        )
    for _ in range(2):  # a picture may be a link's words
        text = _LINK.sub(r"\1", text)
    return _AUTOLINK.sub(r"\1", _FOOTNOTE.sub("", text))


def _without_tables(text: str) -> str:
    """Rows as paragraphs, their cells set off by commas; a table is what has a line of dashes under its first row."""
    lines = text.split("\n")
    rules = [number for number, line in enumerate(lines) if _TABLE_RULE.fullmatch(line)]
    if not rules:
        return text
    rows: set[int] = set()
    for rule in rules:
        if rule in rows:  # of a table that another rule has begun
            continue
        start = rule - 1 if rule and "|" in lines[rule - 1] else rule
        stop = rule + 1
        while stop < len(lines) and "|" in lines[stop]:
            stop += 1
        rows |= set(range(start, stop))
    return "\n".join(_row(line) if number in rows else line for number, line in enumerate(lines))


def _row(line: str) -> str:
    if _TABLE_RULE.fullmatch(line):
        return ""
    cells = (cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line))
    return f"\n{', '.join(filter(None, cells))}\n"


def cleaned(text: str) -> str:
    """The spoken part of a legible text."""
    return without_pictures(without_markdown(text)).strip()
