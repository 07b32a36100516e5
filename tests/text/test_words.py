"""The words of a part: where they stand in the given text, and what share of its reading each takes."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from runtime.formats.part_text import PartText
from runtime.text.words import reading_shares, split_words
from tests.text.test_growing_text import prose, whole
from tests.text.test_wrapped_prose import TRICKY


def said(text: str, **given: Any) -> list[PartText]:
    return [part.said for part in whole(text, **given)]


def words(text: str, **given: Any) -> list[str]:
    return [word.text for one in said(text, **given) for word in one.words]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, (my) friend!", ["Hello,", "(my)", "friend!"]),
        ("No — “nobody” …", ["No —", "“nobody” …"]),
        ("¿ Quién ?", ["¿ Quién ?"]),
        ("It's 12,50 €.", ["It's", "12,50 €."]),
        ("“他来了。”我有12个iPhone，好。", ["“他", "来", "了。”", "我", "有", "12", "个", "iPhone，", "好。"]),
        ("한국어 말", ["한국어", "말"]),
        ("* … *", []),
    ],
)
def test_what_is_a_word(text: str, expected: list[str]) -> None:
    assert [word for word, *_ in split_words(text)] == expected


@pytest.mark.parametrize("language", sorted(TRICKY))
def test_words_stand_in_order_where_they_are_told(language: str) -> None:
    chance = random.Random(5)
    found = missed = 0
    for _ in range(10):
        text, last = prose(language, chance), 0
        for one in said(text, language=language):
            assert one.start == one.words[0].start and one.stop == one.words[-1].stop
            assert sum(word.share for word in one.words) == pytest.approx(1, abs=0.001)
            for word in one.words:
                assert last <= word.start <= word.stop
                there = text[word.start : word.stop]
                found, missed, last = found + (there == word.text), missed + (there != word.text), word.stop
    assert missed < 0.02 * found  # those with Markdown's marks behind them


def test_a_lexicon_leaves_the_words_as_they_were_given() -> None:
    text = "Higgs speaks to Higgs, as we all know here. Bye, Higgs."
    told = [word for one in said(text, lexicon={"Higgs": "higz"}) for word in one.words]
    assert [word.text for word in told] == [text[word.start : word.stop] for word in told] == text.split()


def test_a_dialogue_s_labels_are_no_words() -> None:
    given = {"speakers": {"Anna": "slt", "Bob": "awb"}, "lexicon": {"Higgs": "higz"}}
    assert words("Anna: Hello there.\nBob: Higgs is here.", **given) == ["Hello", "there.", "Higgs", "is", "here."]


def test_shares_follow_what_is_read() -> None:
    (one,) = said("It costs $12.50 on May 3rd, OK?")
    shares = {word.text: word.share for word in one.words}
    assert list(shares) == ["It", "costs", "$12.50", "on", "May", "3rd,", "OK?"]
    assert shares["$12.50"] > 3 * shares["costs"] > 3 * shares["It"]
    assert shares["3rd,"] > 1.5 * shares["May"]
    (one,) = said("他有12个苹果。")
    assert one.words[2].text == "12" and one.words[2].share == pytest.approx(2 * one.words[0].share, rel=0.01)
    (one,) = said("Hi [laugh] there.")
    assert one.words[1].share > 0.5


@pytest.mark.parametrize(
    ("given", "read", "expected"),
    [
        ([], "one", []),
        (["a"], "", [1.0]),
        (["a", "b"], "", [0.5, 0.5]),
        (["x", "la"], "la la", [0.5, 0.5]),  # what a word became, however it is spelled
        (["la"], "lo la", [1.0]),
    ],
)
def test_shares_add_up_whatever_was_read(given: list[str], read: str, expected: list[float]) -> None:
    shares = reading_shares(given, read, "xx")
    assert len(shares) == len(expected)
    assert sum(shares) == pytest.approx(1 if given else 0)
    if len(set(expected)) == 1 and "la" not in read:
        assert shares == pytest.approx(expected)


def test_a_part_takes_less_than_a_millisecond() -> None:
    text = "The quick brown fox costs $12.50 today, and jumps over 3 lazy dogs in the U.S. of 1999, says Dr. Lund."
    given = [word for word, *_ in split_words(text)]
    read = " ".join(part.text for part in whole(text))
    best = min(_seconds(given, read) for _ in range(20))
    assert best < 0.001


def test_a_hostile_part_takes_little_more() -> None:
    given = ["1", *["a", "b"] * 400, "2"]
    assert _seconds(given, "one " + "a b " * 400 + "two") < 0.5
    assert _seconds(["a"] * 800, "a " * 799 + "b") < 0.5


def _seconds(given: list[str], read: str) -> float:
    started = time.process_time()
    reading_shares(given, read, "en")
    return time.process_time() - started


def test_what_was_heard_is_whole_words() -> None:
    (one,) = said("My name is Anna.")
    assert [one.heard(share) for share in (0.0, 0.08, 0.1, 0.4, 0.55, 1.0)] == [0, 0, 2, 7, 10, 16]
