"""The `text` of a request: plain text, a transcript in which speakers are named, ChatML, or a JSON list of messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from common.errors import InvalidRequestError
from common.voice_profile import check_plain
from dialogue import AUTO, DialogueTurn, Recognition
from messages import parse_messages, parse_text


@dataclass(frozen=True)
class Content:
    """What there is to say, and what the text tells the model beside it."""

    turns: Sequence[DialogueTurn]
    system: str = ""
    scene: str = ""


def read_text(text: str | None, max_characters: int, recognition: Recognition = AUTO) -> Content:
    """The turns to speak, of which there is at least one.

    A text is taken for messages when it is a JSON list of objects; one that only looks like it is spoken as it stands.
    Raises InvalidRequestError when it is empty, too long, not plain text, or messages that make no sense.
    """
    if text is None or not text.strip():
        raise InvalidRequestError("text is empty; there is nothing to say")
    if len(text) > max_characters:
        raise InvalidRequestError(f"text has {len(text)} characters; at most {max_characters} are allowed")
    check_plain(text, "text")
    messages = _messages(text)
    parsed = parse_text(text, recognition) if messages is None else parse_messages(messages, recognition)
    content = Content(parsed.turns, parsed.system or "", parsed.scene or "")
    for turn in content.turns:  # JSON can spell what no text may hold
        check_plain(turn.text, "text")
    check_plain(content.system + content.scene, "text")
    if not content.turns:
        raise InvalidRequestError("text names speakers and gives them no words; there is nothing to say")
    return content


def told(option: str, given: str, in_text: str) -> str:
    """The system text or the scene, from the option of that name or from the text; "" where neither has one.

    Raises InvalidRequestError where both do.
    """
    if given and in_text:
        raise InvalidRequestError(f"{option} is given twice, as an option and within the text; send one of them")
    return given or in_text


def _messages(text: str) -> list[Any] | None:
    """The JSON list of objects that the text is, if it is one."""
    if not text.lstrip().startswith("["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) and value and all(isinstance(item, dict) for item in value) else None
