"""Conversations: reads OpenAI-style messages and ChatML into system text, scene and the speakers' turns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from runtime.formats.errors import InvalidRequestError, quoted
from runtime.text.dialogue.dialogue import AUTO, DialogueTurn, Recognition
from runtime.text.dialogue.transcript import parse_transcript

_CHATML = re.compile(
    r"<\|im_start\|>[ \t]*(\w+)(?:[ \t]+name=([^\n]+))?[ \t]*\n"
    r"((?:(?!<\|im_start\|>).)*?)<\|im_end\|>\s*",
    re.DOTALL,
)
_SCENE = re.compile(r"<\|scene_desc_start\|>((?:(?!<\|scene_desc_start\|>).)*?)<\|scene_desc_end\|>", re.DOTALL)
_SYSTEM_ROLES = ("system", "developer")
_SPEAKING_ROLES = ("user", "assistant")


@dataclass(frozen=True)
class Messages:
    """A conversation: how to speak (`system`), where (`scene`), and the `turns` to speak."""

    system: str | None
    scene: str | None
    turns: list[DialogueTurn]


def parse_text(text: str, recognition: Recognition = AUTO) -> Messages:
    """Parse a text: ChatML with everything that messages can hold, or the turns of a transcript.

    Raises InvalidRequestError for broken ChatML, and what parse_messages refuses.
    """
    if "<|im_start|>" in text:
        return _parse_chatml(text, recognition)
    return Messages(None, None, parse_transcript(text, recognition))


def parse_messages(messages: list[Any], recognition: Recognition = AUTO) -> Messages:
    """OpenAI-style messages: `role` (system or developer, scene, user, assistant), `content` (text, or parts), `name`.

    A message's speaker is its name; without one its content may be a transcript; without that too the speaker is
    nobody, or the role where both roles speak. A scene may also stand in the system text between the model's own marks.
    Raises InvalidRequestError, naming the message, for whatever is not of this form.
    """
    if not isinstance(messages, list) or not messages:
        raise InvalidRequestError("messages must be a list of at least one message")
    system: str | None = None
    scene: str | None = None
    spoken: list[tuple[str, str | None, str]] = []
    for index, message in enumerate(messages):
        role, name, content = _message(index, message)
        if role in _SPEAKING_ROLES:
            spoken.append((role, name, content))
            continue
        found = _SCENE.search(content) if role in _SYSTEM_ROLES else None
        texts = {"system": content, "scene": None} if role in _SYSTEM_ROLES else {"system": None, "scene": content}
        if found:
            texts = {"system": _SCENE.sub("", content).strip() or None, "scene": found[1].strip()}
        for kind, before, given in (("system", system, texts["system"]), ("scene", scene, texts["scene"])):
            if before is not None and given is not None:
                raise InvalidRequestError(f"message {index} is a second {kind} text; there may be one")
        system, scene = texts["system"] or system, texts["scene"] or scene
    if not spoken:
        raise InvalidRequestError("messages hold no user or assistant text; there is nothing to say")
    return Messages(system, scene, _turns(spoken, recognition))


def _turns(spoken: list[tuple[str, str | None, str]], recognition: Recognition) -> list[DialogueTurn]:
    both = len({role for role, _, _ in spoken}) > 1
    turns: list[DialogueTurn] = []
    for role, name, content in spoken:
        if name is not None:
            turns.append(DialogueTurn(name, content))
        else:
            fallback = role if both else None
            found = parse_transcript(content, recognition)
            turns += [DialogueTurn(turn.speaker or fallback, turn.text) for turn in found]
    return turns


def _message(index: int, message: Any) -> tuple[str, str | None, str]:
    """role, name and text of one message."""
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise InvalidRequestError(f"message {index} must be an object with role and content")
    role, name = message["role"], message.get("name")
    if unknown := next((key for key in message if key not in ("role", "content", "name")), None):
        raise InvalidRequestError(f"message {index} has the key {quoted(unknown)}; there are role, content and name")
    roles = (*_SYSTEM_ROLES, "scene", *_SPEAKING_ROLES)
    if role not in roles:
        raise InvalidRequestError(f"message {index} has the role {quoted(role)}; there are {', '.join(roles)}")
    if name is not None and (not isinstance(name, str) or not name.strip()):
        raise InvalidRequestError(f"message {index} has the name {quoted(name)}; it must be a speaker's name")
    content = _content(index, message.get("content"))
    if "<|im_start|>" in content or "<|im_end|>" in content:
        raise InvalidRequestError(f"message {index} has ChatML marks in its content")
    return role, name.strip() if name else None, content


def _content(index: int, content: Any) -> str:
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(parts, list):
        raise InvalidRequestError(f"message {index} needs content: a string, or a list of text parts")
    texts = []
    for part in parts:
        if not isinstance(part, dict) or part.get("type") not in ("text", "input_text"):
            kind = part.get("type") if isinstance(part, dict) else part
            raise InvalidRequestError(f"message {index} has a part of type {quoted(kind)}; only text can be spoken")
        if not isinstance(part.get("text"), str):
            raise InvalidRequestError(f"message {index} has a text part without text")
        texts.append(part["text"].strip())
    if not any(texts):
        raise InvalidRequestError(f"message {index} is empty")
    return " ".join(filter(None, texts))


def _parse_chatml(text: str, recognition: Recognition) -> Messages:
    found = list(_CHATML.finditer(text))
    if _CHATML.sub("", text).strip():
        raise InvalidRequestError(
            "the ChatML text is broken; every turn is <|im_start|>role, a line break, its words, <|im_end|>"
        )
    messages = [{"role": turn[1], "content": turn[3]} | ({"name": turn[2]} if turn[2] else {}) for turn in found]
    return parse_messages(messages, recognition)
