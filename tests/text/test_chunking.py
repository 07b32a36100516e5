"""Long text in pieces: whole sentences where they fit, and whatever the text, nothing lost, doubled or moved."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runtime.formats.options import CHUNK_METHODS
from runtime.text.chunking import Chunk, chunk
from tests.text.growth import assert_linear

CUTTING = [method for method in CHUNK_METHODS if method != "none"]

EVENT = re.compile(r"<SE(?:_[se])?>[^<>]*</SE(?:_[se])?>")
IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
WIDE_MARK = re.compile("[\u3000-\u303f\uff00-\uffef]")


def texts(chunks: list[Chunk]) -> list[str]:
    return [piece.text for piece in chunks]


@pytest.mark.parametrize(
    ("language", "text", "words", "pieces"),
    [
        ("en", "Dr. Smith went home. He slept. She read.", 6, ["Dr. Smith went home. He slept.", "She read."]),
        ("en", "It cost 3.5 dollars. Fine!", 4, ["It cost 3.5 dollars.", "Fine!"]),
        ("en", "We came, we saw the city, and we left again.", 6, ["We came, we saw the city,", "and we left again."]),
        (
            "en",
            "We came, we saw it all and we left again today.",
            4,
            ["We came,", "we saw it all", "and we left again", "today."],
        ),
        ("en", "He paid all of $5 million in cash.", 4, ["He paid all of", "$5 million in cash."]),
        ("en", "So he left on March 14, 2026 for good.", 5, ["So he left on", "March 14, 2026 for good."]),
        ("zh", "他说：「好。」然后走了。", 4, ["他说：「好。」", "然后走了。"]),
        ("en", "one two three four five", 2, ["one two", "three four", "five"]),
        (
            "zh",
            "你好。我是小明！今天天气很好，我们去公园吧。",
            6,
            ["你好。我是小明！", "今天天气很好，", "我们去公园吧。"],
        ),
        ("es", "¿Qué tal? El Sr. Pérez llegó ayer. ¡Hola!", 6, ["¿Qué tal?", "El Sr. Pérez llegó ayer. ¡Hola!"]),
        ("fr", "M. Dupont est là. Il dort bien. Et toi ?", 7, ["M. Dupont est là. Il dort bien.", "Et toi ?"]),
        ("en", 'He said "Hi there." Then he left.', 4, ['He said "Hi there."', "Then he left."]),
        ("en", "Ha <SE>[Music]</SE> ha. No.", 3, ["Ha <SE>[Music]</SE> ha.", "No."]),
    ],
)
def test_sentences_are_packed_and_long_ones_cut_after_a_clause(
    language: str, text: str, words: int, pieces: list[str]
) -> None:
    assert texts(chunk(text, "semantic", language, words)) == pieces


@pytest.mark.parametrize(
    ("language", "text", "wholes"),
    [
        ("en", "Call us at (415) 555-0142 or at +1 415 555 0142 before noon, please, or write to us.",
         ["(415) 555-0142", "+1 415 555 0142"]),
        ("en", "He left on March 14, 2026 and so he was gone for a very long time.", ["March 14, 2026"]),
        ("en", "Oh [music start] la la la [music end] and then some.", ["[music start]", "[music end]"]),
        ("en", "It is about 5 – 10 km from here to there, or 1,234 – 2,000 miles.", ["5 – 10 km", "1,234 – 2,000"]),
        ("en", "They fought in World War II so we saw Louis XIV and Super Bowl LIV at home that year",
         ["War II", "Louis XIV", "Bowl LIV"]),
        ("fr", "Venez avant 17 h 30 le lundi 3 janvier 2022 si vous le pouvez.", ["17 h 30", "3 janvier 2022"]),
        ("fr", "Appelez le 01 23 45 67 89 avant 20 h ou jamais", ["01 23 45 67 89", "20 h"]),
        ("zh", "（她也笑了。）“走吧……”——他们就走了出去。", ["……", "——"]),
        ("es", "Nació en el 63 a. C. y murió en el 14 d. C. en Nola.", ["63 a. C.", "14 d. C."]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("words", [5, 6, 7, 9, 12])
def test_a_long_clause_is_never_cut_inside_what_is_read_in_one(
    language: str, text: str, wholes: list[str], words: int
) -> None:
    pieces = texts(chunk(text, "semantic", language, words))
    assert [whole for whole in wholes if not any(whole in piece for piece in pieces)] == []
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_a_french_mark_stays_with_its_word_and_is_none() -> None:
    text = "« Oui ! », dit Anne ; « quoi ; Anne ? » dit-il : non"
    assert texts(chunk(text, "fixed", "fr", 3)) == ["« Oui ! », dit Anne ;", "« quoi ; Anne ? » dit-il :", "non"]


def test_chunks_never_cross_a_paragraph_and_say_where_one_ends() -> None:
    chunks = chunk("One. Two three four.\n\nFive.\nSix.", "semantic", "en", 3)
    assert chunks == [Chunk("One.", False), Chunk("Two three four.", True), Chunk("Five.", True), Chunk("Six.", True)]


def test_auto_leaves_short_text_whole_and_cuts_long_text() -> None:
    text = "One two.\nThree four."
    assert chunk(text, "auto", "en", 4) == [Chunk(text, True)]
    assert chunk(text, "auto", "en", 3) == chunk(text, "semantic", "en", 3)


def test_speaker_leaves_a_turn_whole() -> None:
    assert chunk(" One. " * 500, "speaker", "en", 5) == [Chunk((" One. " * 500).strip(), True)]


def test_fixed_cuts_by_words_whatever_the_sentences() -> None:
    assert texts(chunk("One. Two three. Four five", "fixed", "en", 2)) == ["One. Two", "three. Four", "five"]


@pytest.mark.parametrize("method", CUTTING)
def test_nothing_to_say_is_no_chunk(method: str) -> None:
    assert chunk(" \n ", method, "en", 5) == []


PIECES = [
    "one", "Dr. Smith", "it's", "3.5", "stop.", "Stop!", "why?", "so,", "so;", "今天天气很好", "好。",
    "吗？", "，", "¿Qué", "año.",
    "\n", "\n\n", " ", "  ", "<SE>[Laughter]</SE>", "<SE_s>[Music]</SE_s>", "<SE_e>[Music]</SE_e>", '"',
    "«", "»", "...", "<",
    "カタカナ", "안녕", "\u2028", "é",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=25).flatmap(
    lambda pieces: st.sampled_from(["".join(pieces), " ".join(pieces)])
)


@settings(max_examples=500, deadline=None)
@given(TEXTS, st.sampled_from(CUTTING), st.sampled_from(["en", "zh", "es", "fr", "de"]), st.integers(1, 12))
@example("one » »", "fixed", "en", 1)
def test_whatever_the_text_the_chunks_are_it(text: str, method: str, language: str, words: int) -> None:
    chunks = chunk(text, method, language, words)
    assert "".join("".join(piece.text for piece in chunks).split()) == "".join(text.split()), "nothing lost or doubled"
    assert all(piece.text and piece.text == piece.text.strip() for piece in chunks)
    if not IDEOGRAPH.search(text):
        spoken = " ".join(piece.text for piece in chunks)
        if WIDE_MARK.search(text):  # lines that meet at one are joined without a space, as in Chinese
            assert re.findall(r"\w+", spoken) == re.findall(r"\w+", text) or EVENT.search(text), "no word is cut"
        else:
            assert spoken.split() == text.split() or EVENT.search(text), "no word is cut"
    found = [event for piece in chunks for event in EVENT.findall(piece.text)]
    assert found == EVENT.findall(text.replace("\n", " ")) or "\n" in text, "no event is cut"
    if method in ("fixed", "semantic"):
        assert all(_words(piece.text) <= words for piece in chunks if len(piece.text.split()) > 1)
        assert not any(c in piece.text for piece in chunks for c in "\n\u2028")
    assert not chunks or chunks[-1].ends_paragraph
    assert chunk(text, method, language, words) == chunks, "and the same again"


def _words(text: str) -> float:
    """At least so many words: white space apart, and two thirds for a character of a script without spaces.

    A mark that French sets off by a blank is no word: it stays with the one before it.
    """
    apart = [word for word in text.split() if not IDEOGRAPH.search(word) and not re.fullmatch(r"[?!;:»]+[,.…]*", word)]
    return max(len(IDEOGRAPH.findall(text)) * 2 / 3, len(apart) * 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["semantic", "fixed"])
@pytest.mark.parametrize(
    ("language", "repeated"),
    [("en", "The cat sat on the mat, and then it left. "), ("zh", "今天天气很好，我们去公园玩吧。"), 
     ("zh", "啊"), ("en", "a, "),
     ("en", "<SE>"), ("fr", "un\n")],
)  # fmt: skip
def test_a_chapter_is_cut_in_linear_time(language: str, repeated: str, method: str) -> None:
    assert_linear(lambda text: chunk(text, method, language, 50), repeated)
    text = (repeated * 30_000)[:30_000]
    chunks = chunk(text, method, language, 50)
    assert sum(len(piece.text.replace(" ", "")) for piece in chunks) == len("".join(text.split()))
