"""Who speaks in which voice, and how the prompt says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from runtime.formats.errors import InvalidRequestError
from runtime.text.dialogue.dialogue import DialogueTurn
from runtime.text.dialogue.voice_assignment import SMART_SYSTEM_TEXT, Reference, VoiceAssignment, assign
from runtime.text.prompt_encoder import SYSTEM_TEXT

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


def turns(*names: str | None) -> list[DialogueTurn]:
    return [DialogueTurn(speaker, "Hello.") for speaker in names]


def tags(made: VoiceAssignment) -> dict[str, str]:
    return {speaker.name: made.tag(speaker.name) for speaker in made.speakers}


def test_one_speaker_needs_no_tag_and_no_scene() -> None:
    made = assign(turns(None), {}, None, NOBODY, "en")
    assert (made.system, made.scene, made.tag(None), made.references) == (SYSTEM_TEXT, [], "", [])
    named = assign(turns("Anna", "Anna"), {"Anna": "slt"}, None, THREE, "en")
    assert (named.tag("Anna"), named.reference_words) == ("", ["I am S L T."])


def test_cloned_speakers_are_tagged_before_their_words_and_their_clips() -> None:
    made = assign(turns("Anna", "Bob", "Anna"), {"Anna": "slt", "Bob": "awb"}, None, THREE, "en", "A room.")
    assert tags(made) == {"Anna": "[SPEAKER0] ", "Bob": "[SPEAKER1] "}
    assert made.reference_words == ["[SPEAKER0] I am S L T.", "[SPEAKER1] I am A W B."]
    assert (made.system, made.scene) == (SYSTEM_TEXT, ["A room."])


def test_voices_without_a_clip_are_the_originals_lines_of_the_scene() -> None:
    lines = "SPEAKER0: feminine\nSPEAKER1: masculine\nSPEAKER2: feminine"
    made = assign(turns("SPEAKER0", "SPEAKER1", "SPEAKER2"), {}, None, NOBODY, "en", "A hall.")
    assert made.scene == [f"A hall.\n\n{lines}"]
    made = assign(turns("SPEAKER0", "SPEAKER1", "SPEAKER2"), {}, None, NOBODY, "en")
    assert made.scene == [lines]
    assert made.system == SMART_SYSTEM_TEXT


def test_described_voices_stand_in_the_scene_under_the_usual_system_text() -> None:
    made = assign(turns("Anna", "Bob"), {"Anna": "slt", "Bob": "old"}, None, THREE, "en")
    assert made.scene == ["SPEAKER0: ", "\nSPEAKER1: A very old man."]
    assert (made.reference_words, len(made.references)) == ([], 1)
    assert made.system == SYSTEM_TEXT
    assert [speaker.voice for speaker in made.speakers] == ["slt", "old"]
    alone = assign(turns(None), {}, "old", THREE, "en")
    assert (alone.scene, alone.tag(None)) == (["SPEAKER0: A very old man."], "")


def test_a_gender_can_be_asked_for_instead_of_a_profile() -> None:
    made = assign(turns("Anna", "Bob"), {"Anna": "masculine", "Bob": "slt"}, None, THREE, "en")
    assert (made.scene, made.reference_words) == (["SPEAKER0: masculine"], ["[SPEAKER1] I am S L T."])
    assert [speaker.voice for speaker in made.speakers] == [None, "slt"]
    assert made.system == SMART_SYSTEM_TEXT


def test_numbers_of_the_text_are_kept_and_names_take_the_free_ones() -> None:
    made = assign(turns("SPEAKER1", "Anna", None, "speaker0"), {}, None, NOBODY, "en")
    assert tags(made) == {
        "speaker0": "[SPEAKER0] ",
        "SPEAKER1": "[SPEAKER1] ",
        "Anna": "[SPEAKER2] ",
        "": "[SPEAKER3] ",
    }
    with pytest.raises(InvalidRequestError, match="have one number"):
        assign(turns("SPEAKER1", "SPEAKER01"), {}, None, NOBODY, "en")


def test_the_requests_one_voice_is_the_one_speakers_or_the_narrators() -> None:
    clip = Reference(CLIP, "My words.")
    assert assign(turns("Anna"), {}, clip, THREE, "en").speakers[0].reference is clip
    made = assign(turns(None, "Anna"), {"Anna": "slt"}, clip, THREE, "en")
    assert made.speaker(None).reference is clip
    assert made.speaker("Anna").voice == "slt"
    assert assign(turns(None, "Anna"), {"Anna": "slt"}, "awb", THREE, "en").speaker(None).voice == "awb"
    with pytest.raises(InvalidRequestError, match="for one speaker, and here speak Anna, Bob"):
        assign(turns("Anna", "Bob"), {}, clip, THREE, "en")
    with pytest.raises(InvalidRequestError, match="Anna has a voice in speakers and another"):
        assign(turns("Anna"), {"Anna": "slt"}, "awb", THREE, "en")


def test_voices_for_nobody_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="gives 'Bob' a voice; in the text there speak: Anna"):
        assign(turns("Anna"), {"Bob": "slt"}, None, THREE, "en")
    with pytest.raises(InvalidRequestError, match="'nobody' is unknown"):
        assign(turns("Anna"), {"Anna": "nobody"}, None, THREE, "en")


def test_the_assignment_is_the_same_every_time() -> None:
    def assigned() -> list[tuple[str, int, str | None]]:
        made = assign(turns("Zoe", "Bob", None, "Anna"), {"Bob": "old"}, None, THREE, "en")
        return [(speaker.name, speaker.number, speaker.voice) for speaker in made.speakers]

    assert all(assigned() == assigned() for _ in range(5))
    assert [speaker for speaker in assigned() if speaker[0] == "Bob"] == [("Bob", 1, "old")]
