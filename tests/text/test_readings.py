"""How numbers and what stands with them are read: `readings/*.tsv` holds what is written and what is said, a line each.

A line that begins with "#" and has no tab is a heading.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.text.languages import LANGUAGES
from runtime.text.readings.normalization import normalize
from runtime.text.readings.readings import read_numbers

FILES = Path(__file__).with_name("readings")
EXAMPLES = [
    (file.stem, *line.split("\t"))
    for file in sorted(FILES.glob("*.tsv"))
    for line in file.read_text("utf-8").splitlines()
    if "\t" in line
]
WRITTEN = {language: [written for code, written, _ in EXAMPLES if code == language] for language in LANGUAGES}


@pytest.mark.parametrize(("language", "written", "said"), EXAMPLES)
def test_each_kind_is_read_whole_or_stays(language: str, written: str, said: str) -> None:
    """Alone, inside a sentence, a second time, and in any other language; normalising changes no word of it."""
    assert read_numbers(written, language) == said
    before, after = ("好，", "。") if language == "zh" else ("“Well”: ", " …")
    if written[0] not in "-–—.":  # a dash is a list's only where a line begins
        assert read_numbers(before + written + after, language) == before + said + after
    assert read_numbers(said, language) == said
    once = normalize(written, language)
    assert re.findall(r"\w+", once) == re.findall(r"\w+", normalize(said, language))
    assert normalize(once, language) == once
    for other in LANGUAGES:
        _assert_whole_or_kept(written, other)


PIECES = st.sampled_from([written for _, written, _ in EXAMPLES]) | st.from_regex(
    r"[0-9.,:/$€%x^='\"+ -]{1,12}", fullmatch=True
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(PIECES, min_size=1, max_size=4), st.sampled_from([" ", ", ", "", "-", "，"]), st.sampled_from([*LANGUAGES])
)
def test_what_is_joined_is_read_once_and_for_all(pieces: list[str], joint: str, language: str) -> None:
    text = joint.join(pieces)
    said = read_numbers(text, language)
    assert read_numbers(said, language) == said
    _assert_whole_or_kept(text, language)


@settings(max_examples=300, deadline=None)
@given(st.text(), st.sampled_from([*LANGUAGES, "de"]))
def test_any_text_is_read(text: str, language: str) -> None:
    said = read_numbers(text, language)
    assert read_numbers(said, language) == said


@settings(max_examples=300, deadline=None)
@given(st.text("abcdefg ñé,.;!?-'()今天好", max_size=60), st.sampled_from([*LANGUAGES]))
def test_a_text_without_digits_comes_back_as_it_is(text: str, language: str) -> None:
    assert read_numbers(text, language) == text


def test_hard_spaces_group_digits_as_spaces_do() -> None:
    for space in (" ", "\u00a0", "\u202f"):
        assert read_numbers(f"12{space}500{space}€", "fr") == "douze mille cinq cents euros"
        assert read_numbers(f"20{space}%", "fr") == "vingt pour cent"


def test_a_language_without_words_of_its_own_keeps_its_digits() -> None:
    for written in ("30-7", "5 Mio. €", "20.30 Uhr", "a@example.com", "3:16"):
        assert read_numbers(written, "de") == written


def _assert_whole_or_kept(written: str, language: str) -> None:
    """No digit that stays is new or out of its order, and a text with digits says something."""
    said = read_numbers(written, language)
    kept = iter(re.findall("[0-9]", written))
    assert all(digit in kept for digit in re.findall("[0-9]", said))
    letters = len(re.findall(r"[^\W\d_]", said))
    lost = len(re.findall("[0-9]", written)) > len(re.findall("[0-9]", said))
    assert not lost or letters > len(re.findall(r"[^\W\d_]", written)) - 12
