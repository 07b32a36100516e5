"""What ChatML and lists of messages say, and which of them are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.formats.errors import InvalidRequestError
from runtime.text.dialogue.dialogue import DialogueTurn, Recognition
from runtime.text.dialogue.messages import Messages, parse_messages, parse_text
from runtime.text.text_input import Content, either, read_text


def turns(*pairs: tuple[str | None, str]) -> list[DialogueTurn]:
    return [DialogueTurn(speaker, text) for speaker, text in pairs]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<|im_start|>user\nHi.<|im_end|>\n<|im_start|>assistant\nHo.<|im_end|>",
         [("user", "Hi."), ("assistant", "Ho.")]),
        ("<|im_start|>user name=Eve\nHi.<|im_end|>", [("Eve", "Hi.")]),
        ("<|im_start|>user\nAnna: Are you in?\nBob: Yes.<|im_end|>", [("Anna", "Are you in?"), ("Bob", "Yes.")]),
        ("<|im_start|>user\nNote: it rains.<|im_end|>", [(None, "Note: it rains.")]),
    ],
)  # fmt: skip
def test_chatml_is_turns(text: str, expected: list[tuple[str | None, str]]) -> None:
    assert parse_text(text) == Messages(None, None, turns(*expected))


@pytest.mark.parametrize(
    ("content", "mode", "speakers"),
    [
        ("Anna: Are you in?\nBob: Yes.", "auto", ["Anna", "Bob"]),
        ("Title: The Road\nAuthor: Ann Lee", "auto", [None]),
        ("Title: The Road\nAuthor: Ann Lee", "on", ["Title", "Author"]),
        ("Anna: Are you in?\nBob: Yes.", "off", [None]),
        ("小明：在吗？\n小红：在。", "auto", ["小明", "小红"]),
        ("[SPEAKER0] [SPEAKER1] Hi.", "auto", ["SPEAKER1"]),
    ],
)
def test_labels_in_a_message_follow_the_rule_of_any_text(content: str, mode: str, speakers: list[str | None]) -> None:
    text = json.dumps([{"role": "user", "content": content}])
    assert [turn.speaker for turn in read_text(text, 1000, Recognition(mode)).turns] == speakers


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("[SPEAKER0]", "names speakers and gives them no words"),
        ("[SPEAKER0] [SPEAKER1]:\nSPEAKER_02:", "names speakers and gives them no words"),
        ("<|im_start|>user\nHi.", "ChatML text is broken"),
        ("<|im_start|>robot\nHi.<|im_end|>", "'robot'"),
        ("<|im_start|>system\nBe calm.<|im_end|>", "nothing to say"),
        (
            "<|im_start|>system\nBe calm.<|im_end|><|im_start|>system\nBe.<|im_end|>",
            "message 1 is a second system text",
        ),
    ],
)
def test_a_text_that_says_nothing_or_is_broken_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InvalidRequestError, match=sentence):
        read_text(text, 1000)


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
    texts = [either("system", None, "Be calm."), either("system", "Be loud.", None), either("scene", None, None)]
    assert texts == ["Be calm.", "Be loud.", None]
    assert either("system", "", None) == ""
    with pytest.raises(InvalidRequestError, match="system is given twice"):
        either("system", "", "Be calm.")
    with pytest.raises(InvalidRequestError, match="scene is given twice, as an option and within the text"):
        either("scene", "A room.", "A hall.")


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
