"""A user's own readings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.formats.errors import InvalidRequestError
from runtime.formats.pronunciations import check_pronunciations, pronounced
from runtime.text.dialogue.dialogue import DialogueTurn
from runtime.text.parts import text_parts
from runtime.text.request_options import parse_options
from tests.text.test_plan_writer import OPTION_LIMITS


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Higgs, Higgs's and (Higgs)-like.", "higz, higz's and (higz)-like."),
        ("higgs HIGGS Higgsino unHiggs Higgs2 Higgs_x", "higgs HIGGS Higgsino unHiggs Higgs2 Higgs_x"),
        ("我用Higgs说话", "我用higz说话"),
        ("New York and New\nYork, York", "Nooyork and Nooyork, Yorick"),
        ("C# and C", "see sharp and C"),
        ("重庆的重庆人", "chóng qìng的chóng qìng人"),
        ("I don't, don’t", "I do not, do not"),
        ("A B C", "B C C"),
        ("A++ A# A-B", "A++ A# B-C"),
        ("New\n\nYork", "New\n\nYorick"),
        (
            "York@York.com, https://York.org/York and www.York.fr",
            "York@York.com, https://York.org/York and www.York.fr",
        ),
        ("École, Écoles", "ay-coll, Écoles"),
        ("v2.0 v2.01", "version two v2.01"),
        ("[laugh] laugh [SPEAKER1] <SE>[Laughter]</SE> Laughter", "[laugh] ha [SPEAKER1] <SE>[Laughter]</SE> hahaha"),
    ],
)
def test_whole_words_are_said_as_their_readings_say(text: str, expected: str) -> None:
    readings = {
        "Higgs": "higz", "New York": "Nooyork", "York": "Yorick", "C#": "see sharp", "重庆": "chóng qìng",
        "don't": "do not", "A": "B", "B": "C", "E\u0301cole": "ay-coll", "v2.0": "version two", "laugh": "ha",
        "Laughter": "hahaha", "SPEAKER1": "nobody",
    }  # fmt: skip
    assert pronounced(text, readings) == expected


@pytest.mark.parametrize(
    "lexicon, wrong",
    [
        ([], "must be an object"),
        ({"a": 1}, "must be an object"),
        ({"": "x"}, "plain text"),
        ({"a": "  "}, "plain text"),
        ({"a": "<|eot_id|>"}, "plain text"),
        ({"a": "[laugh]"}, "plain text"),
        ({"a\n": "b"}, "plain text"),
        ({"a": "b\x00"}, "plain text"),
        ({"a" * 61: "b"}, "61 characters"),
        ({"a": "b" * 201}, "201 characters"),
        ({f"w{n}": "x" for n in range(201)}, "201 entries"),
    ],
)
def test_what_is_no_lexicon_is_refused(lexicon: Any, wrong: str) -> None:
    with pytest.raises(InvalidRequestError, match=wrong):
        check_pronunciations(lexicon, "lexicon")
    with pytest.raises(InvalidRequestError, match=r"^lexicon"):
        parse_options(json.dumps({"lexicon": lexicon}), OPTION_LIMITS)


def test_readings_come_before_numbers_and_a_requests_own_win_over_its_voices() -> None:
    params = parse_options(json.dumps({"lexicon": {"Higgs": "higz", "v2": "version 2"}}), OPTION_LIMITS)
    turns = [DialogueTurn("Anna", "Higgs v2, Boson."), DialogueTurn("Bob", "Higgs v2, Boson.")]
    voices = {"Anna": {"Higgs": "wrong", "Boson": "bozon"}}
    assert [part.text for part in text_parts(turns, params, "en", voices)] == [
        "higz version two, bozon.",
        "higz version two, Boson.",
    ]
