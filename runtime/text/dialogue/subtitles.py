"""Subtitles (SubRip, WebVTT): their text, without numbers and times."""

from __future__ import annotations

import re

_MOMENT = r"(?:\d{1,3}:)?\d{1,2}:\d{2}[.,]\d{3}"
_TIMES = rf"[ \t]*{_MOMENT}[ \t]*-->[ \t]*{_MOMENT}[^\n]*"
_TIMED = re.compile(rf"(?:^|\n)(?:[ \t]*\n)?(?:[ \t]*\d{{1,6}}[ \t]*\n)?{_TIMES}(?:\n|$)")
_HEADER = re.compile(r"\s*WEBVTT[^\n]*(?:\n|$)")
_END_OF_VOICE = re.compile(r"</v>", re.IGNORECASE)


def without_times(text: str) -> str:
    """The text of subtitles, line by line, since a sentence may continue in the next; any other text unchanged."""
    if "-->" not in text or not _TIMED.search(text):
        return text
    return _END_OF_VOICE.sub("", _TIMED.sub("\n", _HEADER.sub("", text, count=1))).strip()
