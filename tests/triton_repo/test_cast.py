"""Who speaks in which voice, and how the prompt says so. Run: python -m pytest tests/triton_repo/test_cast.py"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from runtime.formats.errors import InvalidRequestError
from runtime.text.dialogue.cast import SMART_SYSTEM_TEXT, Cast, Reference, cast
from runtime.text.dialogue.chatml import SYSTEM_TEXT
from runtime.text.dialogue.dialogue import DialogueTurn

CLIP = np.ones(960, np.float32)


@dataclass
class Profile:
    name: str
    transcript: str = "words"
    description: str = ""
    embedding: np.ndarray | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


class Voices:
    """Profiles by name; one that has a description has no clip."""

    def __init__(self, *profiles: Profile) -> None:
        self._profiles = {profile.name: profile for profile in profiles}

    def profiles(self) -> list[Profile]:
        return list(self._profiles.values())

    def load(self, name: str) -> tuple[Profile, np.ndarray]:
        profile = self._profiles[name]
        has_samples = not profile.description and profile.embedding is None
        return profile, CLIP if has_samples else np.zeros(0, np.float32)


NOBODY = Voices()
THREE = Voices(Profile("awb", "I am A W B."), Profile("slt", "I am S L T."), Profile("old", "", "A very old man."))


def turns(*speakers: str | None) -> list[DialogueTurn]:
    return [DialogueTurn(speaker, "Hello.") for speaker in speakers]


def tags(made: Cast) -> dict[str, str]:
    return {role.name: made.tag(role.name) for role in made.roles}


def test_one_speaker_needs_no_tag_and_no_scene() -> None:
    made = cast(turns(None), {}, None, NOBODY, "en")
    assert (made.system, made.scene, made.tag(None), made.references) == (SYSTEM_TEXT, [], "", [])
    named = cast(turns("Anna", "Anna"), {"Anna": "slt"}, None, THREE, "en")
    assert (named.tag("Anna"), named.reference_words) == ("", ["I am S L T."])


def test_cloned_speakers_are_tagged_before_their_words_and_their_clips() -> None:
    made = cast(turns("Anna", "Bob", "Anna"), {"Anna": "slt", "Bob": "awb"}, None, THREE, "en", "A room.")
    assert tags(made) == {"Anna": "[SPEAKER0] ", "Bob": "[SPEAKER1] "}
    assert made.reference_words == ["[SPEAKER0] I am S L T.", "[SPEAKER1] I am A W B."]
    assert (made.system, made.scene) == (SYSTEM_TEXT, ["A room."])


def test_voices_without_a_clip_are_the_originals_lines_of_the_scene() -> None:
    lines = "SPEAKER0: feminine\nSPEAKER1: masculine\nSPEAKER2: feminine"
    made = cast(turns("SPEAKER0", "SPEAKER1", "SPEAKER2"), {}, None, NOBODY, "en", "A hall.")
    assert made.scene == [f"A hall.\n\n{lines}"]
    made = cast(turns("SPEAKER0", "SPEAKER1", "SPEAKER2"), {}, None, NOBODY, "en")
    assert made.scene == [lines]
    assert made.system == SMART_SYSTEM_TEXT


def test_described_voices_stand_in_the_scene_under_the_usual_system_text() -> None:
    made = cast(turns("Anna", "Bob"), {"Anna": "slt", "Bob": "old"}, None, THREE, "en")
    assert made.scene == ["SPEAKER0: ", "\nSPEAKER1: A very old man."]
    assert (made.reference_words, len(made.references)) == ([], 1)
    assert made.system == SYSTEM_TEXT
    assert [role.voice for role in made.roles] == ["slt", "old"]
    alone = cast(turns(None), {}, "old", THREE, "en")
    assert (alone.scene, alone.tag(None)) == (["SPEAKER0: A very old man."], "")


def test_a_gender_can_be_asked_for_instead_of_a_profile() -> None:
    made = cast(turns("Anna", "Bob"), {"Anna": "masculine", "Bob": "slt"}, None, THREE, "en")
    assert (made.scene, made.reference_words) == (["SPEAKER0: masculine"], ["[SPEAKER1] I am S L T."])
    assert [role.voice for role in made.roles] == [None, "slt"]
    assert made.system == SMART_SYSTEM_TEXT


def test_numbers_of_the_text_are_kept_and_names_take_the_free_ones() -> None:
    made = cast(turns("SPEAKER1", "Anna", None, "speaker0"), {}, None, NOBODY, "en")
    assert tags(made) == {
        "speaker0": "[SPEAKER0] ",
        "SPEAKER1": "[SPEAKER1] ",
        "Anna": "[SPEAKER2] ",
        "": "[SPEAKER3] ",
    }
    with pytest.raises(InvalidRequestError, match="have one number"):
        cast(turns("SPEAKER1", "SPEAKER01"), {}, None, NOBODY, "en")


def test_the_requests_one_voice_is_the_one_speakers_or_the_narrators() -> None:
    clip = Reference(CLIP, "My words.")
    assert cast(turns("Anna"), {}, clip, THREE, "en").roles[0].reference is clip
    made = cast(turns(None, "Anna"), {"Anna": "slt"}, clip, THREE, "en")
    assert made.role(None).reference is clip
    assert made.role("Anna").voice == "slt"
    assert cast(turns(None, "Anna"), {"Anna": "slt"}, "awb", THREE, "en").role(None).voice == "awb"
    with pytest.raises(InvalidRequestError, match="for one speaker, and here speak Anna, Bob"):
        cast(turns("Anna", "Bob"), {}, clip, THREE, "en")
    with pytest.raises(InvalidRequestError, match="Anna has a voice in speakers and another"):
        cast(turns("Anna"), {"Anna": "slt"}, "awb", THREE, "en")


def test_voices_for_nobody_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="gives 'Bob' a voice; in the text there speak: Anna"):
        cast(turns("Anna"), {"Bob": "slt"}, None, THREE, "en")
    with pytest.raises(InvalidRequestError, match="'nobody' is unknown"):
        cast(turns("Anna"), {"Anna": "nobody"}, None, THREE, "en")


def test_the_assignment_is_the_same_every_time() -> None:
    def assigned() -> list[tuple[str, int, str | None]]:
        made = cast(turns("Zoe", "Bob", None, "Anna"), {"Bob": "old"}, None, THREE, "en")
        return [(role.name, role.number, role.voice) for role in made.roles]

    assert all(assigned() == assigned() for _ in range(5))
    assert [role for role in assigned() if role[0] == "Bob"] == [("Bob", 1, "old")]
