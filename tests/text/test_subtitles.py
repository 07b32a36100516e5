"""Of subtitles only the words are said."""

from __future__ import annotations

import pytest

from runtime.text.dialogue.dialogue import Recognition
from runtime.text.dialogue.subtitles import without_times
from runtime.text.text_input import read_text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1\n00:00:01,000 --> 00:00:03,000\nGood evening.\n\n2\n00:00:03,500 --> 00:00:05,000\nSit down.\n",
         "Good evening.\nSit down."),
        ("1\n00:00:01,000 --> 00:00:03,000\nI was\n\n2\n00:00:03,500 --> 00:00:05,000\nat home.", "I was\nat home."),
        ("WEBVTT\n\n00:01.000 --> 00:03.000\nGood evening.\n\n00:03.500 --> 00:05.000 align:start\nSit down.",
         "Good evening.\nSit down."),
        ("WEBVTT - a film\n\nfirst\n00:01.000 --> 00:03.000\nHi.", "first\nHi."),
        ("00:00:01.000 --> 00:00:03.000\n<v Anna>Hi.</v>", "<v Anna>Hi."),
        ("1\n00:00:01,000 --> 00:00:03,000\n1984\n\n2\n00:00:03,500 --> 00:00:05,000\n42", "1984\n42"),
    ],
)  # fmt: skip
def test_numbers_and_times_of_subtitles_are_no_words(text: str, said: str) -> None:
    assert without_times(text) == said


@pytest.mark.parametrize(
    "text", ["a --> b", "From 10:00 --> 11:00.", "1\n2\n3", "WEBVTT", "He wrote 00:01.000 --> 00:03.000 on it.", "-->"]
)
def test_other_texts_stay(text: str) -> None:
    assert without_times(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "1\n00:00:01,000 --> 00:00:03,000\nANNA: Is it far?\n\n2\n00:00:03,500 --> 00:00:05,000\nBOB: Two miles!",
        "WEBVTT\n\n00:01.000 --> 00:03.000\n<v ANNA>Is it far?\n\n00:03.500 --> 00:05.000\n<v BOB>Two miles!",
        "00:01.000 --> 00:03.000\n[ANNA] Is it far?\n\n00:03.500 --> 00:05.000\n[BOB] Two miles!",
    ],
)
def test_the_speakers_of_subtitles_are_recognised(text: str) -> None:
    turns = read_text(text, 1000, Recognition()).turns
    assert [(turn.speaker, turn.text) for turn in turns] == [("ANNA", "Is it far?"), ("BOB", "Two miles!")]
