"""Which letters spell which phones, and which frames speak them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pocketsphinx import get_model_path

from demo.training.flite import PAUSE
from demo.training.letter_timing import LetterTiming, words_of
from demo.training.open_text import (
    DICTIONARY,
    OpenText,
)
from demo.training.readings import PHONES
from demo.training.spelling import Spelling


@pytest.fixture(scope="module")
def spelling() -> Spelling:
    """Learned from common words, as the recogniser's dictionary says them."""
    common = set(OpenText().frequent[:1500])
    lines = (line.split() for line in Path(get_model_path(), DICTIONARY).read_text("utf-8").splitlines())
    return Spelling.learn({word: [phone.lower() for phone in phones] for word, *phones in lines if word in common})


@pytest.mark.parametrize(
    ("word", "spelled"),
    [
        ("cat", "c:k a:ae t:t"),
        ("bite", "b:b i:ay t:t"),  # a silent letter
        ("box", "b:b o:aa x:k x:s"),  # a letter of two phones
        ("quick", "q:k q:w i:ih c:k"),
        ("music", "m:m u:y u:uw s:z i:ih c:k"),
        ("phasis", "p:f a:ey s:s i:ih s:s"),  # the second of two letters for one phone is silent
        ("zaxp", "z:z a:ae x:ng p:p"),  # a letter and a phone that never met
    ],
)
def test_it_is_learned_which_letters_spell_which_phones(spelling: Spelling, word: str, spelled: str):
    letters, phones = zip(*(one.split(":") for one in spelled.split()), strict=True)
    assert [word[place] for place in spelling.letters(word, phones)] == list(letters)


def test_phones_that_letters_cannot_spell_are_spread_over_them(spelling: Spelling):
    assert spelling.letters("mr", ["m", "ih", "s", "t", "er"]) == [0, 0, 0, 1, 1]
    assert spelling.letters("cat", []) == []


def test_phones_are_told_apart_by_letter_and_letters_by_phones(spelling: Spelling):
    phones = [PAUSE, "dh", "ax", "k", "ae", "t", PAUSE, "b", "aa", "k", "s", PAUSE]
    words = [("dh", "iy"), ("k", "ae", "t"), ("b", "aa", "k", "s")]  # "the" alone sounds otherwise
    text = "The cat, box!"
    assert words_of(text) == ["the", "cat", "box"]
    timing = LetterTiming(text, words, phones, spelling)
    assert "".join((text + "|")[place] for place in timing.places) == "hhecattboxx|"
    sounds = {
        text[place]: [PHONES[sound] for sound in sounds if sound]
        for place, sounds in enumerate(timing.sounds)
        if sounds.any()
    }
    assert sounds == {
        "h": ["dh"], "e": ["ax"], "c": ["k"], "a": ["ae"], "t": ["t"], "b": ["b"], "o": ["aa"], "x": ["k", "s"]
    }  # fmt: skip
