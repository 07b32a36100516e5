"""HTML without its tags: what a browser would show of it.

Only elements of HTML count, with attributes as they are written: "a < b", "<3", `<SE>` and `<|…|>` are none.
"""

from __future__ import annotations

import re

_BLOCKS = (
    "address|article|aside|blockquote|body|caption|center|dd|details|dialog|div|dl|dt|fieldset|figcaption|figure|footer"
    "|form|h[1-6]|head|header|hr|html|li|main|nav|ol|option|p|pre|section|select|summary|table|tbody|tfoot|thead|tr|ul"
)
_INLINE = (
    "a|abbr|acronym|audio|b|bdi|bdo|big|button|cite|code|col|colgroup|data|del|dfn|em|embed|font|i|iframe|img|input|ins"
    "|kbd|label|legend|link|mark|meta|meter|object|picture|progress|q|rp|rt|ruby|s|samp|small|source|span|strike"
    "|strong|sub|sup|svg|td|textarea|th|time|tt|u|var|video|wbr"
)
_ATTRIBUTES = (
    r"(?:\s+[A-Za-z_:@][\w:.-]{0,40}\s*=\s*(?:\"[^\"<>]{0,2000}\"|'[^'<>]{0,2000}'|[^\s\"'<>=`]{1,2000})){0,30}"
)
_UNSEEN = re.compile(rf"<!--|<(script|style|template|title){_ATTRIBUTES}\s*>", re.IGNORECASE)
_UNSEEN_END = {
    "": re.compile("-->"),
    **{name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in ("script", "style", "template", "title")},
}
_MOST_UNSEEN = 20_000  # characters; what ends later was not meant to begin
_DOCTYPE = re.compile(r"<!DOCTYPE[^<>]{0,300}>", re.IGNORECASE)
_BREAK = re.compile(rf"(?:(?<!\s)\s+)?<br{_ATTRIBUTES}\s*/?>[^\S\n]*\n?", re.IGNORECASE)
_BLOCK = re.compile(rf"(?:(?<!\s)\s+)?</?(?:{_BLOCKS}){_ATTRIBUTES}\s*/?>\s*", re.IGNORECASE)
_CELL = re.compile(r"(?<=\S)\s*</t[dh]>\s*(?=<t[dh]\b)", re.IGNORECASE)
_RAISED = re.compile(r"(?<=\w)<sup>([-+−]?[0-9]{1,3})</sup>", re.IGNORECASE)
_SUPERSCRIPTS = str.maketrans("0123456789-+−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺⁻")
_TAG = re.compile(rf"</?(?:{_INLINE}){_ATTRIBUTES}\s*/?>", re.IGNORECASE)


def without_tags(text: str) -> str:
    """The text without tags, comments, scripts and styles; a block is a paragraph, `<br>` ends a line."""
    if not re.search(r"<[A-Za-z/!]", text):
        return text
    text = _RAISED.sub(lambda match: match[1].translate(_SUPERSCRIPTS), text)
    text = _BREAK.sub("\n", _DOCTYPE.sub(" ", _without_unseen(text)))
    return _TAG.sub("", _BLOCK.sub("\n\n", _CELL.sub(", ", text)))


def _without_unseen(text: str) -> str:
    """The text with a space for each comment, script and the like; an end is sought once for all that it may end."""
    kept: list[str] = []
    done = 0
    ends: dict[str, re.Match[str] | None] = {}
    for begun in _UNSEEN.finditer(text):
        kind = (begun[1] or "").lower()
        if begun.start() < done:
            continue
        end = ends.get(kind)
        if kind not in ends or (end and end.start() < begun.end()):
            end = ends[kind] = _UNSEEN_END[kind].search(text, begun.end())
        if end and end.start() - begun.end() <= _MOST_UNSEEN:
            kept += [text[done : begun.start()], " "]
            done = end.end()
    return "".join([*kept, text[done:]])
