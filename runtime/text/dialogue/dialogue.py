"""The types for a dialogue: its turns, and what the reader of a text knows about its speakers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DialogueTurn:
    """What one speaker says; `speaker` is None where the text names none."""

    speaker: str | None
    text: str


@dataclass(frozen=True)
class Recognition:
    """How to recognise speakers. `mode`: a text is a transcript if it looks like one (auto), always (on), never (off).

    `given`: the speakers that the request has voices for. `voices`: names of voices, which may be a speaker's too.
    """

    mode: str = "auto"
    given: frozenset[str] = frozenset()
    voices: frozenset[str] = frozenset()


AUTO = Recognition()
