"""The `text` of a request: plain text, a transcript in which speakers are named, ChatML, or a JSON list of messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from runtime.formats.errors import InvalidRequestError
from runtime.formats.voice_profile import check_plain
from runtime.text.cleaning import cleaned, legible
from runtime.text.dialogue.dialogue import AUTO, DialogueTurn, Recognition
from runtime.text.dialogue.messages import parse_messages, parse_text
from runtime.text.dialogue.subtitles import without_times
from runtime.text.dialogue.transcript import parse_transcript
from runtime.text.prompt_encoder import check_marks


@dataclass(frozen=True)
class Content:
    """What to say, and what else the text tells the model."""

    turns: Sequence[DialogueTurn]
    system: str | None = None
    scene: str = ""


def read_text(text: str | None, max_characters: int, recognition: Recognition = AUTO) -> Content:
    """The turns to speak, at least one.

    A text is read as messages when it is a JSON list of objects; a text that only looks like one is spoken as it is.
    What is not said is removed: invisible characters and subtitle times before the search for speakers, Markdown and
    emoji after it.
    Raises InvalidRequestError when it is empty, too long, not plain text, or messages that make no sense.
    """
    if text is None or not text.strip():
        raise InvalidRequestError("text is empty; there is nothing to say")
    if len(text) > max_characters:
        raise InvalidRequestError(f"text has {len(text)} characters; at most {max_characters} are allowed")
    messages = _messages(text)
    if messages is None:
        parsed = parse_text(without_times(_legible(text)), recognition)
    else:
        parsed = parse_messages(messages, recognition)
    turns = [replace(turn, text=cleaned(_legible(turn.text))) for turn in parsed.turns]
    system = None if parsed.system is None else _legible(parsed.system)
    content = Content(turns, system, _legible(parsed.scene or ""))
    if not content.turns:
        named = any(map(str.isalnum, legible(text)))
        why = "text names speakers and gives them no words" if named else "text holds no letter or digit"
        raise InvalidRequestError(f"{why}; there is nothing to say")
    return content


def read_turns(text: str, recognition: Recognition) -> list[DialogueTurn]:
    """What a piece of plain text says, perhaps nothing.

    Raises InvalidRequestError for messages and ChatML, which have to come whole, and for what is not plain text.
    """
    if "<|im_start|>" in text or _messages(text) is not None:
        raise InvalidRequestError("a text that comes in pieces is plain; send messages and ChatML as a whole")
    turns = parse_transcript(without_times(_legible(text)), recognition)
    return [replace(turn, text=cleaned(_legible(turn.text))) for turn in turns]


def either(option: str, given: str | None, in_text: str | None) -> str | None:
    """The system text or the scene, from the option of that name or from the text; None where neither has one.

    Raises InvalidRequestError when both do.
    """
    if given is not None and in_text is not None:
        raise InvalidRequestError(f"{option} is given twice, as an option and within the text; send one of them")
    text = given if in_text is None else in_text
    return None if text is None else legible(text)


def _legible(text: str) -> str:
    """Raises InvalidRequestError for U+0000, which tells a file that is no text, half a character, and some marks."""
    text = legible(text)
    check_plain(text, "text")
    check_marks(text, "text")
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
