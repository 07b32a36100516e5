"""The text that the demo voice is trained on, and what is held out of it."""

from __future__ import annotations

import random

import pytest

from demo.domain import Domain, is_held_out
from demo.listener import word_error_rate, word_errors
from demo.sizes import LETTER_VOCABULARY
from demo.training.letter_timing import words_of
from demo.training.open_text import (
    FIRST_WORDS,
    HELD_OUT_INVENTED,
    HELD_OUT_RARE,
    HELD_OUT_SENTENCES,
    OpenText,
    dictionary,
)
from demo.training.publish import KNOWN
from demo.training.speech_set import bare
from demo.training.vocabulary import trained_tokenizer
from runtime.formats.exports import KNOWN_WORDS_FILE
from runtime.text.dialogue.voice_assignment import SMART_SYSTEM_TEXT
from runtime.text.known_words import KnownWords
from runtime.text.prompt_encoder import SYSTEM_TEXT
from tests.demo.conftest import CHECKPOINT


def test_held_out_sentences_are_never_trained_on_and_all_words_are():
    domain = Domain.load()
    taught, unseen = domain.sentences(3000, 1, False), domain.sentences(300, 2, True)
    assert not set(taught) & set(unseen)
    assert all(is_held_out(sentence) for sentence in unseen)
    assert {word for sentence in taught for word in sentence.split()} == set(domain.words)
    assert len(domain.words) >= 120


def test_the_grammar_has_its_sentences_and_no_others():
    domain = Domain.load()
    drawn = domain.sentences(300, 6, False)
    assert all(domain.holds(sentence) for sentence in drawn)
    first, other = drawn[:2]
    wrong = ["", "two dogs", f"{first} {other}", first.rpartition(" ")[0], f" {first}", first.upper(), "it is cold"]
    assert not any(domain.holds(sentence) for sentence in wrong)


def test_written_sentences_hold_the_same_words():
    domain = Domain.load()
    known = KnownWords(domain.words)
    for sentence in domain.sentences(200, 4, False):
        written = domain.written(sentence)
        assert written.lower().rstrip(".?") == sentence
        assert known.unknown(written) == []
        assert written[0].isupper() and written[-1] in ".?"
    assert known.unknown("Hello, Zanzibar!") == ["zanzibar"]


def test_the_checkpoint_knows_the_words_it_was_taught_and_says_so_of_no_other_alphabet():
    known = KnownWords.read(CHECKPOINT / KNOWN_WORDS_FILE)
    assert (CHECKPOINT / KNOWN_WORDS_FILE).read_text() == KNOWN, "publish writes it"
    text, generator = OpenText(), random.Random(5)
    assert [word for _ in range(500) for word in known.unknown(text.draw(generator))] == []
    assert known.unknown("A pizza, 世界!") == ["世界"]


@pytest.mark.parametrize(
    "heard, errors", [("a b c", 0), ("a c", 1), ("a b x c", 1), ("x y z", 3), ("", 3), ("b c a", 2)]
)
def test_word_errors_are_counted(heard, errors):
    assert word_errors("a b c", heard) == errors
    assert word_error_rate([("a b c", heard), ("d", "d")]) == errors / 4


def test_the_tokenizer_is_the_same_each_time_and_keeps_any_text():
    tokenizer = trained_tokenizer()
    assert tokenizer.to_str() == trained_tokenizer().to_str()
    assert tokenizer.token_to_id("<|begin_of_text|>") == LETTER_VOCABULARY - 256
    for text in ("Hello from Higgs Audio.", "Zürich, 12 €!", "早上好", f"Say: {SYSTEM_TEXT} So it is."):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids) == text


def test_all_text_is_read_letter_by_letter_but_the_words_of_the_template():
    tokenizer, text, generator = trained_tokenizer(), OpenText(), random.Random(1)
    for written in [*(text.draw(generator) for _ in range(500)), "The system and the user's assistant. [SPEAKER 1"]:
        for one in (written, written.lower()):
            ids = tokenizer.encode(one, add_special_tokens=False).ids
            assert ids == [tokenizer.token_to_id(character.replace(" ", "Ġ")) for character in one]
    header = tokenizer.encode("<|start_header_id|>assistant<|end_header_id|>\n\nHi", add_special_tokens=False)
    assert len(header.ids) == 6
    for system in (SYSTEM_TEXT, SMART_SYSTEM_TEXT):
        assert len(tokenizer.encode(f"{system}<|eot_id|>", add_special_tokens=False).ids) == 2


def test_open_text_is_the_same_each_time_and_holds_out_what_is_judged():
    text = OpenText()
    again = OpenText()
    assert again.held_out == text.held_out
    drawn = [text.draw(generator) for generator in [random.Random(3)] for _ in range(4000)]
    assert drawn == [again.draw(generator) for generator in [random.Random(3)] for _ in range(4000)]
    unseen = text.held_out
    assert (len(unseen.sentences), len(unseen.rare), len(unseen.invented)) == (
        HELD_OUT_SENTENCES,
        HELD_OUT_RARE,
        HELD_OUT_INVENTED,
    )
    usual = set(text.frequent)
    for sentence in unseen.sentences:
        assert FIRST_WORDS[0] <= len(sentence.split()) <= FIRST_WORDS[1]
        assert set(sentence.split()) <= usual
    assert set(unseen.rare) <= dictionary() - usual and not set(unseen.invented) & dictionary() & usual
    said = {word for sentence in drawn for word in words_of(sentence)}
    alone = text.words(4000, random.Random(3))
    assert alone == again.words(4000, random.Random(3))
    assert not (said | {word.lower() for word in alone}) & {*unseen.rare, *unseen.invented}
    assert not {" ".join(words_of(sentence)) for sentence in drawn} & set(unseen.sentences)
    assert len(said & usual) > 0.9 * len(usual)  # of 4,000 sentences; the recipe has more
    assert all(len(sentence) <= 255 and sentence[-1] in ".?!" for sentence in drawn)
    domain = Domain.load()
    assert sum(set(words_of(sentence)) <= set(domain.words) for sentence in drawn) > 300
    assert not {bare(sentence) for sentence in drawn} & set(domain.sentences(3000, 2, held_out=True))
