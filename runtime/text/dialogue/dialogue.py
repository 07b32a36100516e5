"""The types that a dialogue is told in: its turns, and what the reader of a text knows about its speakers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DialogueTurn:
    """What one speaker says; `speaker` is None where the text names none."""

    speaker: str | None
    text: str


@dataclass(frozen=True)
class Recognition:
    """How speakers are recognised. `mode`: whether a text is a transcript is found out (auto), so (on) or not so (off).

    `given`: the speakers that the request has voices for. `voices`: names of voices, which may be a speaker's too.
    """

    mode: str = "auto"
    given: frozenset[str] = frozenset()
    voices: frozenset[str] = frozenset()


AUTO = Recognition()
