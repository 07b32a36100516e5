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
_UNSEEN = re.compile(
    r"<!--.{0,20000}?-->|<!DOCTYPE[^<>]{0,300}>"
    rf"|<(script|style|template|title){_ATTRIBUTES}\s*>.{{0,20000}}?</\1\s*>",
    re.DOTALL | re.IGNORECASE,
)
_BREAK = re.compile(rf"\s*<br{_ATTRIBUTES}\s*/?>[^\S\n]*\n?", re.IGNORECASE)
_BLOCK = re.compile(rf"\s*</?(?:{_BLOCKS}){_ATTRIBUTES}\s*/?>\s*", re.IGNORECASE)
_CELL = re.compile(r"(?<=\S)\s*</t[dh]>\s*(?=<t[dh]\b)", re.IGNORECASE)
_RAISED = re.compile(r"(?<=\w)<sup>([-+−]?[0-9]{1,3})</sup>", re.IGNORECASE)
_SUPERSCRIPTS = str.maketrans("0123456789-+−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺⁻")
_TAG = re.compile(rf"</?(?:{_INLINE}){_ATTRIBUTES}\s*/?>", re.IGNORECASE)


def without_tags(text: str) -> str:
    """The text without tags, comments, scripts and styles; a block is a paragraph, `<br>` ends a line."""
    if not re.search(r"<[A-Za-z/!]", text):
        return text
    text = _RAISED.sub(lambda match: match[1].translate(_SUPERSCRIPTS), text)
    text = _BREAK.sub("\n", _UNSEEN.sub(" ", text))
    return _TAG.sub("", _BLOCK.sub("\n\n", _CELL.sub(", ", text)))
