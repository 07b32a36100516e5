"""The voice that each speaker gets."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.formats.errors import InvalidRequestError
from runtime.text.dialogue.dialogue import DialogueTurn
from runtime.text.dialogue.voice_choice import assign_voices


def turns(*pairs: tuple[str | None, str]) -> list[DialogueTurn]:
    return [DialogueTurn(speaker, text) for speaker, text in pairs]


VOICES: dict[str, dict[str, Any]] = {
    "anna": {"language": "en", "gender": "female"},
    "bob": {"language": "en", "gender": "male"},
    "carl": {"language": "en-GB", "gender": "masculine"},
    "mei": {"language": "zh", "gender": "feminine"},
    "nameless": {},
}


def assign(names: list[str], mapping: dict[str, str] | None = None, language: str = "en") -> dict[str, str | None]:
    return assign_voices(turns(*((name, "x") for name in names)), mapping or {}, VOICES, language)


def test_voices_go_by_mapping_then_name_then_rule() -> None:
    assert assign(["Bob", "Eve", "anna"], {"Eve": "mei"}) == {"Bob": "bob", "Eve": "mei", "anna": "anna"}
    assert assign(["Eve", "Dan", "Flo", "Gus"]) == {"Eve": "anna", "Dan": "bob", "Flo": "carl", "Gus": "anna"}
    assert assign(["Old Man", "Young Man", "Woman", "Mr. X"]) == {
        "Old Man": "bob", "Young Man": "carl", "Woman": "anna", "Mr. X": "bob",
    }  # fmt: skip
    assert assign(["Eve", "Dan"], language="zh") == {"Eve": "mei", "Dan": "mei"}
    assert assign(["Bob", "Eve"], {"Bob": "anna"}) == {"Bob": "anna", "Eve": "bob"}, "the mapping wins over the name"


def test_without_profiles_every_speaker_has_a_smart_voice_and_narration_none() -> None:
    spoken = turns((None, "x"), ("A", "x"), ("B", "x"))
    assert assign_voices(spoken, {}, {}, "en") == {"A": None, "B": None}


def test_four_speakers_keep_their_voices_whatever_the_order_of_the_profiles() -> None:
    names = ["SPEAKER0", "SPEAKER1", "SPEAKER2", "SPEAKER3"] * 3
    spoken = turns(*((name, "x") for name in names))
    backwards = dict(reversed(list(VOICES.items())))
    assert assign_voices(spoken, {}, backwards, "en") == assign(names)


@pytest.mark.parametrize(
    ("mapping", "sentence"), [({"Zoe": "bob"}, "'Zoe'.*there are: Eve"), ({"Eve": "zed"}, "'zed'.*anna, bob")]
)
def test_a_mapping_of_nobody_or_to_no_voice_is_refused(mapping: dict[str, str], sentence: str) -> None:
    with pytest.raises(InvalidRequestError, match=sentence):
        assign(["Eve"], mapping)
