"""Who says what: transcripts and chat messages as turns of speakers, and a voice for each speaker."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common.errors import InvalidRequestError

_TAG = re.compile(r"\[(SPEAKER\d+)\]|^(SPEAKER\d+):", re.MULTILINE)
_NAME = re.compile(r"^([A-Z][\w'-]*(?: [A-Z][\w'-]*){0,2}): ", re.MULTILINE)


@dataclass(frozen=True)
class DialogueTurn:
    """What one speaker says; no speaker where the text names none."""

    speaker: str | None
    text: str


@dataclass(frozen=True)
class Messages:
    """A conversation: how to speak (`system`), where (`scene`), and the `turns` to speak."""

    system: str | None
    scene: str | None
    turns: list[DialogueTurn]


def parse_transcript(text: str) -> list[DialogueTurn]:
    """The turns of a transcript; one turn of nobody where it names no speaker."""
    marks = sorted([*_TAG.finditer(text), *_names(text)], key=lambda mark: mark.start())
    if not marks:
        return [DialogueTurn(None, text.strip())]
    turns = []
    if text[: marks[0].start()].strip():
        turns.append(DialogueTurn(None, text[: marks[0].start()].strip()))
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        said = text[mark.end() : following.start() if following else len(text)].strip()
        speaker = next(group for group in mark.groups() if group)
        if not said:
            raise InvalidRequestError(f"{speaker} says nothing; every turn needs words")
        turns.append(DialogueTurn(speaker, said))
    return turns


def _names(text: str) -> list[re.Match[str]]:
    marks = [m for m in _NAME.finditer(text) if not m.group(1).startswith("SPEAKER")]
    return marks if len(marks) > 1 or (marks and not text[: marks[0].start()].strip()) else []


def parse_messages(messages: list[Any]) -> Messages:
    """Chat messages as turns: user and assistant speak, system and scene say how."""
    system, scene, turns = None, None, []
    for i, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InvalidRequestError(f"message {i} must be an object with role and content")
        role, content = message["role"], message.get("content")
        if isinstance(content, list):
            content = " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
        if not isinstance(content, str):
            raise InvalidRequestError(f"message {i} has no text")
        if role == "system":
            system = content
        elif role == "scene":
            scene = content
        elif role in ("user", "assistant"):
            name = message.get("name")
            turns += [DialogueTurn(name, content.strip())] if name else parse_transcript(content)
        else:
            raise InvalidRequestError(f"message {i} has the role {role!r}; there are system, scene, user, assistant")
    return Messages(system, scene, turns)


def assign_voices(
    turns: list[DialogueTurn], mapping: Mapping[str, str], voices: Mapping[str, Mapping[str, Any]], language: str
) -> dict[str, str | None]:
    """Speaker -> voice profile, or None for a smart voice."""
    speakers = list(dict.fromkeys(turn.speaker for turn in turns if turn.speaker is not None))
    for speaker, voice in mapping.items():
        if speaker not in speakers:
            raise InvalidRequestError(f"speaker {speaker!r} speaks no turn; there are {', '.join(speakers) or 'none'}")
        if voice not in voices:
            raise InvalidRequestError(f"voice {voice!r} is unknown; there are {', '.join(voices) or 'none'}")
    assigned: dict[str, str | None] = {}
    folded = {name.casefold(): name for name in sorted(voices, reverse=True)}
    for speaker in speakers:
        assigned[speaker] = mapping.get(speaker) or folded.get(speaker.casefold())
    for speaker in speakers:
        if assigned[speaker] is None and voices:
            used = list(assigned.values())
            assigned[speaker] = min(
                voices, key=lambda name: (voices[name].get("language") != language, used.count(name), name)
            )
    return assigned
