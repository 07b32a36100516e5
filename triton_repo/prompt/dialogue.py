"""Who says what: transcripts and chat messages as turns of speakers.

A transcript names its speakers in one of these ways:
- `[SPEAKER0]` anywhere, several in a line if need be; `SPEAKER0:` at the start of a line;
- `Name:` at the start of a line, followed by white space: one to three capitalised words without digits (or up to eight
  Chinese characters). Prose has such lines too ("Note: …"), so names count only if the text begins with one or at
  least two lines are labelled, and some words ("Note", "Warning", …) never are names;
- ChatML, `<|im_start|>user` … `<|im_end|>`, read like a list of messages, system turn and all.
Lines without a speaker go on with the turn before; what stands before the first speaker is nobody's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from common.errors import InvalidRequestError

_TAG = re.compile(
    r"\[SPEAKER ?([0-9]{1,4})\](?:[ \t]*[:：])?|^[ \t]*SPEAKER ?([0-9]{1,4})[ \t]*[:：]", re.MULTILINE | re.IGNORECASE
)
_WORD = r"[^\W\d_a-z][^\W\d_]*(?:['’.-][^\W\d_]+)*\.?"
_NAME = re.compile(
    rf"^[ \t]*((?!SPEAKER)(?:{_WORD}(?: {_WORD}){{0,2}}|[\u3400-\u9fff·]{{1,8}}))(?::(?=\s)|：)", re.MULTILINE
)
_NO_NAMES = frozenset(
    [
        "note",
        "notes",
        "warning",
        "tip",
        "example",
        "examples",
        "chapter",
        "attention",
        "important",
        "summary",
        "remember",
        "question",
        "answer",
        "nota",
        "notas",
        "aviso",
        "ejemplo",
        "atención",
        "capítulo",
        "pregunta",
        "respuesta",
        "importante",
        "remarque",
        "exemple",
        "chapitre",
        "réponse",
        "avertissement",
        "注",
        "注意",
        "例如",
        "提示",
        "警告",
        "问",
        "答",
        "注释",
    ]
)
_CHATML = re.compile(r"<\|im_start\|>[ \t]*(\w+)(?:[ \t]+name=([^\n]+))?[ \t]*\n(.*?)<\|im_end\|>\s*", re.DOTALL)
_SCENE = re.compile(r"<\|scene_desc_start\|>(.*?)<\|scene_desc_end\|>", re.DOTALL)
_SYSTEM_ROLES = ("system", "developer")
_SPEAKING_ROLES = ("user", "assistant")


@dataclass(frozen=True)
class DialogueTurn:
    """What one speaker says; `speaker` is None where the text names none."""

    speaker: str | None
    text: str


@dataclass(frozen=True)
class Messages:
    """A conversation: how to speak (`system`), where (`scene`), and the `turns` to speak."""

    system: str | None
    scene: str | None
    turns: list[DialogueTurn]


def parse_text(text: str) -> Messages:
    """What a text says: ChatML with all that messages can hold, or the turns of a transcript.

    Raises InvalidRequestError for broken ChatML, and what parse_messages and parse_transcript refuse.
    """
    return _parse_chatml(text) if "<|im_start|>" in text else Messages(None, None, parse_transcript(text))


def parse_transcript(text: str) -> list[DialogueTurn]:
    """The turns of a transcript in order; a single turn of nobody where it names no speaker.

    Raises InvalidRequestError for a speaker who says nothing and an empty text.
    """
    if not text.strip():
        raise InvalidRequestError("the text is empty; there is nothing to say")
    tags = list(_TAG.finditer(text))
    marks = sorted([*tags, *_names(text, tags)], key=lambda mark: mark.start())
    starts = [mark.start() for mark in marks] + [len(text)]
    turns = [DialogueTurn(None, text[: starts[0]].strip())] if text[: starts[0]].strip() else []
    for mark, end in zip(marks, starts[1:], strict=True):
        speaker, said = _speaker(mark), text[mark.end() : end].strip()
        if not said:
            raise InvalidRequestError(f"speaker {speaker} says nothing in one of the turns; every turn needs words")
        turns.append(DialogueTurn(speaker, said))
    return turns


def _names(text: str, tags: list[re.Match[str]]) -> list[re.Match[str]]:
    """The `Name:` marks of the text, if they are any."""
    names = [name for name in _NAME.finditer(text) if name[1].casefold() not in _NO_NAMES]
    labelled = len(names) + sum(tag[2] is not None for tag in tags)
    return names if labelled > 1 or (names and not text[: names[0].start()].strip()) else []


def _speaker(mark: re.Match[str]) -> str:
    if mark.re is _NAME:
        return mark[1]
    return f"SPEAKER{int(mark[1] or mark[2])}"


def parse_messages(messages: list[Any]) -> Messages:
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
    return Messages(system, scene, _turns(spoken))


def _turns(spoken: list[tuple[str, str | None, str]]) -> list[DialogueTurn]:
    both = len({role for role, _, _ in spoken}) > 1
    turns: list[DialogueTurn] = []
    for role, name, content in spoken:
        if name is not None:
            turns.append(DialogueTurn(name, content))
        else:
            fallback = role if both else None
            turns += [DialogueTurn(turn.speaker or fallback, turn.text) for turn in parse_transcript(content)]
    return turns


def _message(index: int, message: Any) -> tuple[str, str | None, str]:
    """role, name and text of one message."""
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise InvalidRequestError(f"message {index} must be an object with role and content")
    role, name = message["role"], message.get("name")
    if unknown := next((key for key in message if key not in ("role", "content", "name")), None):
        raise InvalidRequestError(f"message {index} has the key {unknown!r}; there are role, content and name")
    roles = (*_SYSTEM_ROLES, "scene", *_SPEAKING_ROLES)
    if role not in roles:
        raise InvalidRequestError(f"message {index} has the role {role!r}; there are {', '.join(roles)}")
    if name is not None and (not isinstance(name, str) or not name.strip()):
        raise InvalidRequestError(f"message {index} has the name {name!r}; it must be a speaker's name")
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
            raise InvalidRequestError(f"message {index} has a part of type {kind!r}; only text can be spoken")
        if not isinstance(part.get("text"), str):
            raise InvalidRequestError(f"message {index} has a text part without text")
        texts.append(part["text"].strip())
    if not any(texts):
        raise InvalidRequestError(f"message {index} is empty")
    return " ".join(filter(None, texts))


def _parse_chatml(text: str) -> Messages:
    found = list(_CHATML.finditer(text))
    if _CHATML.sub("", text).strip():
        raise InvalidRequestError(
            "the ChatML text is broken; every turn is <|im_start|>role, a line break, its words, <|im_end|>"
        )
    messages = [{"role": turn[1], "content": turn[3]} | ({"name": turn[2]} if turn[2] else {}) for turn in found]
    return parse_messages(messages)


def assign_voices(
    turns: list[DialogueTurn], mapping: dict[str, str], voices: dict[str, dict[str, Any]], language: str
) -> dict[str, str | None]:
    """Speaker -> name of a voice profile, in the order of first appearance; None where there are no profiles to choose.

    The `mapping` given comes first, then a profile of the speaker's own name (in whatever case), then a rule over the
    profiles' metadata: a voice of the text's language, of the gender that the speaker's name tells, least used so far,
    first by name. Raises InvalidRequestError for a mapping of speakers or to voices that there are not.
    """
    speakers = list(dict.fromkeys(turn.speaker for turn in turns if turn.speaker is not None))
    for speaker, voice in mapping.items():
        if speaker not in speakers:
            known = ", ".join(speakers) or "no speakers in the text"
            raise InvalidRequestError(f"speaker {speaker!r} of the voices given says nothing; there are: {known}")
        if voice not in voices:
            known = ", ".join(sorted(voices)) or "none in this bundle"
            raise InvalidRequestError(f"voice {voice!r} is unknown; there are: {known}")
    folded = {name.casefold(): name for name in sorted(voices, reverse=True)}
    assigned: dict[str, str | None] = {}
    for speaker in speakers:
        namesake = speaker if speaker in voices else folded.get(speaker.casefold())
        assigned[speaker] = mapping.get(speaker, namesake)
    for speaker in speakers:
        if assigned[speaker] is None and voices:
            gender, used = _gender(speaker), list(assigned.values())
            assigned[speaker] = min(
                voices,
                key=lambda name: (
                    str(voices[name].get("language", "")).split("-")[0].casefold() != language,
                    gender is not None and _gender(str(voices[name].get("gender", ""))) != gender,
                    used.count(name),
                    name,
                ),
            )
    return assigned


_FEMININE = frozenset(
    [
        "female",
        "feminine",
        "f",
        "woman",
        "girl",
        "lady",
        "mother",
        "mom",
        "mrs",
        "ms",
        "miss",
        "she",
        "mujer",
        "femenino",
        "señora",
        "chica",
        "femme",
        "féminin",
        "madame",
        "fille",
        "女",
        "女人",
        "女士",
        "女孩",
        "女声",
    ]
)
_MASCULINE = frozenset(
    [
        "male",
        "masculine",
        "m",
        "man",
        "boy",
        "gentleman",
        "father",
        "dad",
        "mr",
        "he",
        "hombre",
        "masculino",
        "señor",
        "chico",
        "homme",
        "masculin",
        "monsieur",
        "garçon",
        "男",
        "男人",
        "先生",
        "男孩",
        "男声",
    ]
)


def _gender(words: str) -> str | None:
    """What a name ("Old Woman", "Mr. Smith") or a metadata value ("feminine") says of a voice's gender."""
    for word in re.findall(r"[^\W\d_]+", words.casefold()):
        if word in _FEMININE:
            return "feminine"
        if word in _MASCULINE:
            return "masculine"
    return None
