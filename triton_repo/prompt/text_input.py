"""The `text` of a request: plain text, a transcript in which speakers are named, ChatML, or a JSON list of messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from cleaning import cleaned, legible
from common.errors import InvalidRequestError
from common.voice_profile import check_plain
from dialogue import DialogueTurn, parse_messages, parse_text


@dataclass(frozen=True)
class Content:
    """What there is to say, and what the text tells the model beside it."""

    turns: Sequence[DialogueTurn]
    system: str = ""
    scene: str = ""


def read_text(text: str | None, max_characters: int) -> Content:
    """The turns to speak, of which there is at least one.

    A text is taken for messages when it is a JSON list of objects; one that only looks like it is spoken as it stands.
    What stands in it and is not said goes: the invisible before speakers are looked for, Markdown and emoji after.
    Raises InvalidRequestError when it is empty, too long, not plain text, or messages that make no sense.
    """
    if text is None or not text.strip():
        raise InvalidRequestError("text is empty; there is nothing to say")
    if len(text) > max_characters:
        raise InvalidRequestError(f"text has {len(text)} characters; at most {max_characters} are allowed")
    messages = _messages(text)
    parsed = parse_text(_legible(text)) if messages is None else parse_messages(messages)
    turns = [replace(turn, text=cleaned(_legible(turn.text))) for turn in parsed.turns]
    content = Content(turns, _legible(parsed.system or ""), _legible(parsed.scene or ""))
    if not content.turns:
        raise InvalidRequestError("the messages hold no turn to speak; the last one must be a user's")
    return content


def told(option: str, given: str, in_text: str) -> str:
    """The system text or the scene, from the option of that name or from the text; "" where neither has one.

    Raises InvalidRequestError where both do.
    """
    if given and in_text:
        raise InvalidRequestError(f"{option} is given twice, as an option and within the text; send one of them")
    return legible(given or in_text)


def _legible(text: str) -> str:
    """Raises InvalidRequestError for U+0000, which tells a file that is no text, and for half of a character."""
    text = legible(text)
    check_plain(text, "text")
    return text


def _messages(text: str) -> list[Any] | None:
    """The JSON list of objects that the text is, if it is one."""
    if not text.lstrip().startswith("["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) and value and all(isinstance(item, dict) for item in value) else None
