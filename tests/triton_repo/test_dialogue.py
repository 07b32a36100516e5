"""Who says what, in every way a transcript can say it, and the voice each speaker gets."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import InvalidRequestError
from dialogue import DialogueTurn, Messages, assign_voices, parse_messages, parse_text
from text_input import Content, read_text, told


def turns(*pairs: tuple[str | None, str]) -> list[DialogueTurn]:
    return [DialogueTurn(speaker, text) for speaker, text in pairs]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[SPEAKER0] Hi.\n[SPEAKER1] Ho.", [("SPEAKER0", "Hi."), ("SPEAKER1", "Ho.")]),
        ("[SPEAKER0] Hi. [SPEAKER1] Ho. [speaker 0]: Ha.",
         [("SPEAKER0", "Hi."), ("SPEAKER1", "Ho."), ("SPEAKER0", "Ha.")]),
        ("SPEAKER0: Hi.\nSPEAKER1: Ho.", [("SPEAKER0", "Hi."), ("SPEAKER1", "Ho.")]),
        ("Alice: Hi.\nDr. Bob Smith: Ho.", [("Alice", "Hi."), ("Dr. Bob Smith", "Ho.")]),
        ("They met.\nAlice: Hi.\nHow are you?\nBob: Ho.",
         [(None, "They met."), ("Alice", "Hi.\nHow are you?"), ("Bob", "Ho.")]),
        ("Alice: at 10:30, see http://a.b", [("Alice", "at 10:30, see http://a.b")]),
        ("小明：你好。\n小红：你好！", [("小明", "你好。"), ("小红", "你好！")]),
        ("Élodie: Bonjour.\nJosé María: Hola.", [("Élodie", "Bonjour."), ("José María", "Hola.")]),
        ("Alice:\nHi.", [("Alice", "Hi.")]),
        ("<|im_start|>user\nHi.<|im_end|>\n<|im_start|>assistant\nHo.<|im_end|>",
         [("user", "Hi."), ("assistant", "Ho.")]),
        ("<|im_start|>user name=Eve\nHi.<|im_end|>", [("Eve", "Hi.")]),
        ("plain text", [(None, "plain text")]),
        ("Note: this is prose.", [(None, "Note: this is prose.")]),
        ("We say.\nAlice: once.", [(None, "We say.\nAlice: once.")]),
        ("10:30 is the time.\nhttp://a.b: no", [(None, "10:30 is the time.\nhttp://a.b: no")]),
        ("This is a very long thing: yes.\nAnd this: no.", [(None, "This is a very long thing: yes.\nAnd this: no.")]),
        ("the truth: it hurts.\nthe lie: it too.", [(None, "the truth: it hurts.\nthe lie: it too.")]),
        ("[laugh] Hi [music start]", [(None, "[laugh] Hi [music start]")]),
    ],
)  # fmt: skip
def test_transcripts_are_turns(text: str, expected: list[tuple[str | None, str]]) -> None:
    assert parse_text(text) == Messages(None, None, turns(*expected))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "empty"),
        ("[SPEAKER0] [SPEAKER1] Hi.", "SPEAKER0 says nothing"),
        ("Alice: Hi.\nBob:\n", "Bob says nothing"),
        ("<|im_start|>user\nHi.", "ChatML text is broken"),
        ("<|im_start|>robot\nHi.<|im_end|>", "'robot'"),
        ("<|im_start|>system\nBe calm.<|im_end|>", "nothing to say"),
        (
            "<|im_start|>system\nBe calm.<|im_end|><|im_start|>system\nBe.<|im_end|>",
            "message 1 is a second system text",
        ),
    ],
)
def test_a_broken_transcript_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InvalidRequestError, match=sentence):
        parse_text(text)


def test_messages_are_system_scene_and_turns() -> None:
    parsed = parse_messages(
        [
            {"role": "system", "content": "Be calm.\n<|scene_desc_start|>\nA room.\n<|scene_desc_end|>"},
            {"role": "user", "name": "Alice", "content": "Hi."},
            {"role": "assistant", "content": [{"type": "text", "text": "Ho."}, {"type": "text", "text": "Ha."}]},
            {"role": "user", "content": "[SPEAKER1] Hm. [SPEAKER2] Oh."},
        ]
    )
    expected = turns(("Alice", "Hi."), ("assistant", "Ho. Ha."), ("SPEAKER1", "Hm."), ("SPEAKER2", "Oh."))
    assert parsed == Messages("Be calm.", "A room.", expected)


def test_one_role_alone_names_no_speaker_and_a_scene_may_be_a_message() -> None:
    parsed = parse_messages([{"role": "scene", "content": "A room."}, {"role": "user", "content": "Hi."}])
    assert parsed == Messages(None, "A room.", turns((None, "Hi.")))


SYSTEM = "Be calm.\n<|scene_desc_start|>\nA room.\n<|scene_desc_end|>"


def test_chatml_is_the_messages_it_writes_down() -> None:
    chatml = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user name=Eve\nHi.<|im_end|>"
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "name": "Eve", "content": "Hi."}]
    assert parse_text(chatml) == parse_messages(messages) == Messages("Be calm.", "A room.", turns(("Eve", "Hi.")))
    assert read_text(chatml, 1000) == Content(turns(("Eve", "Hi.")), "Be calm.", "A room.")


def test_a_system_text_or_scene_is_the_option_s_or_the_text_s_but_not_both() -> None:
    texts = [told("system", None, "Be calm."), told("system", "Be loud.", None), told("scene", None, None)]
    assert texts == ["Be calm.", "Be loud.", None]
    assert told("system", "", None) == ""
    with pytest.raises(InvalidRequestError, match="system is given twice"):
        told("system", "", "Be calm.")
    with pytest.raises(InvalidRequestError, match="scene is given twice, as an option and within the text"):
        told("scene", "A room.", "A hall.")


@pytest.mark.parametrize(
    ("messages", "sentence"),
    [
        ([], "at least one message"),
        ("hello", "must be a list"),
        (["hello"], "message 0 must be an object"),
        ([{"role": "user", "content": "Hi."}, {"role": "tool", "content": "x"}], "message 1 has the role 'tool'"),
        ([{"role": "user"}], "message 0 needs content"),
        ([{"role": "user", "content": " "}], "message 0 is empty"),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], "'input_audio'; only text"),
        ([{"role": "user", "content": [{"type": "text"}]}], "text part without text"),
        ([{"role": "user", "content": "Hi.", "mood": "sad"}], "the key 'mood'"),
        ([{"role": "user", "content": "Hi.", "name": 3}], "the name 3"),
        ([{"role": "system", "content": "a"}, {"role": "system", "content": "b"}], "message 1 is a second system"),
        ([{"role": "system", "content": "a"}], "nothing to say"),
    ],
)
def test_broken_messages_are_refused_with_a_sentence(messages: Any, sentence: str) -> None:
    with pytest.raises(InvalidRequestError, match=sentence):
        parse_messages(messages)


SPEAKERS = st.sampled_from(["Alice", "Bob", "Old Man", "Dr. Wu", "SPEAKER0", "SPEAKER12", "小明", "Émile"])
WORDS = st.lists(
    st.sampled_from(
        ["hello", "at 10:30", "note: x", "yes.", "http://a.b", "[laugh]", "你好。", "\nand more", "¡Hola!"]
    ),
    min_size=1,
    max_size=6,
).map(lambda words: " ".join(words).strip())
DIALOGUES = st.lists(st.tuples(SPEAKERS, WORDS), min_size=2, max_size=8)


@settings(max_examples=300, deadline=None)
@given(DIALOGUES, st.sampled_from(["tag", "colon", "chatml"]))
def test_a_dialogue_written_down_is_read_back(dialogue: list[tuple[str, str]], style: str) -> None:
    if style == "tag":
        dialogue = [(f"SPEAKER{len(name)}", text) for name, text in dialogue]
        written = " ".join(f"[{name}] {text}" for name, text in dialogue)
    elif style == "colon":
        written = "\n".join(f"{name}{'：' if name == '小明' else ': '}{text}" for name, text in dialogue)
    else:
        written = "\n".join(f"<|im_start|>user name={name}\n{text}<|im_end|>" for name, text in dialogue)
    assert parse_text(written).turns == turns(*dialogue)


PIECES = [
    "[SPEAKER0]",
    "[SPEAKER1]",
    "SPEAKER2:",
    "Alice:",
    "Bob: ",
    "x",
    "yes.",
    "\n",
    "\n\n",
    " ",
    ":",
    "：",
    "小明",
    "10:30",
]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=15).map("".join))
def test_no_word_of_any_text_is_lost(text: str) -> None:
    try:
        parsed = parse_text(text).turns
    except InvalidRequestError:
        return
    position = 0
    for turn in parsed:
        assert turn.text
        name = turn.speaker or ""
        label = name.removeprefix("SPEAKER") if name.startswith("SPEAKER") else name
        spoken_from = text.index(label, position) + len(label)
        if name:  # the mark's own end; a colon behind it is said
            spoken_from = re.compile(r"\]?[ \t]*[:：]?").match(text, spoken_from).end()
        found = text.find(turn.text, spoken_from)
        assert found >= 0, "in order and unchanged"
        assert len(text[position:found].strip()) <= len(name) + 8, "only the speaker's label stands between"
        position = found + len(turn.text)
    assert not text[position:].strip()


VOICES: dict[str, dict[str, Any]] = {
    "anna": {"language": "en", "gender": "female"},
    "bob": {"language": "en", "gender": "male"},
    "carl": {"language": "en-GB", "gender": "masculine"},
    "mei": {"language": "zh", "gender": "feminine"},
    "nameless": {},
}


def cast(names: list[str], mapping: dict[str, str] | None = None, language: str = "en") -> dict[str, str | None]:
    return assign_voices(turns(*((name, "x") for name in names)), mapping or {}, VOICES, language)


def test_voices_go_by_mapping_then_name_then_rule() -> None:
    assert cast(["Bob", "Eve", "anna"], {"Eve": "mei"}) == {"Bob": "bob", "Eve": "mei", "anna": "anna"}
    assert cast(["Eve", "Dan", "Flo", "Gus"]) == {"Eve": "anna", "Dan": "bob", "Flo": "carl", "Gus": "anna"}
    assert cast(["Old Man", "Young Man", "Woman", "Mr. X"]) == {
        "Old Man": "bob", "Young Man": "carl", "Woman": "anna", "Mr. X": "bob",
    }  # fmt: skip
    assert cast(["Eve", "Dan"], language="zh") == {"Eve": "mei", "Dan": "mei"}
    assert cast(["Bob", "Eve"], {"Bob": "anna"}) == {"Bob": "anna", "Eve": "bob"}, "the mapping wins over the name"


def test_without_profiles_every_speaker_has_a_smart_voice_and_narration_none() -> None:
    spoken = turns((None, "x"), ("A", "x"), ("B", "x"))
    assert assign_voices(spoken, {}, {}, "en") == {"A": None, "B": None}


def test_four_speakers_keep_their_voices_whatever_the_order_of_the_profiles() -> None:
    names = ["SPEAKER0", "SPEAKER1", "SPEAKER2", "SPEAKER3"] * 3
    spoken = turns(*((name, "x") for name in names))
    backwards = dict(reversed(list(VOICES.items())))
    assert assign_voices(spoken, {}, backwards, "en") == cast(names)


@pytest.mark.parametrize(
    ("mapping", "sentence"), [({"Zoe": "bob"}, "'Zoe'.*there are: Eve"), ({"Eve": "zed"}, "'zed'.*anna, bob")]
)
def test_a_mapping_of_nobody_or_to_no_voice_is_refused(mapping: dict[str, str], sentence: str) -> None:
    with pytest.raises(InvalidRequestError, match=sentence):
        cast(["Eve"], mapping)
