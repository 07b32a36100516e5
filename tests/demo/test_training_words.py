"""The words that are practised: which phones belong to which letters, and where they are asked for."""

from __future__ import annotations

import numpy as np

from demo.training.examples import IGNORED, LOOKAHEAD
from demo.training.readings import Reading
from demo.training.vocabulary import trained_tokenizer
from demo.training.word_practice import TOGETHER, Texts, Word, words_in


def test_words_of_a_sentence_keep_their_letters_phones():
    text = "Teeth, at ten; it's"
    words = list(words_in(Reading.silent(text, np.arange(2 * len(text)).reshape(-1, 2))))
    assert [word.written for word in words] == ["Teeth", "at", "ten", "it's"]
    assert [word.sounds[:, 0].tolist() for word in words] == [
        [2 * place for place in range(start, start + length)] for start, length in ((0, 5), (7, 2), (10, 3), (15, 4))
    ]


def test_what_a_letter_stands_for_is_asked_four_letters_later():
    tokenizer = trained_tokenizer()
    words = [Word(one, np.arange(2 * len(one)).reshape(-1, 2)) for one in (*("cat", "Ox") * 6, "it's")]
    texts = Texts.of(words, tokenizer)
    assert len(texts.ids) == 2 and len(words) == TOGETHER + 3
    written, sounds = [""] * len(words), [list[int]() for _ in words]
    for row, place in (texts.word != IGNORED).nonzero().tolist():
        word = int(texts.word[row, place])
        written[word] += tokenizer.decode([int(texts.ids[row, place - LOOKAHEAD])], skip_special_tokens=False)
        sounds[word] += texts.sounds[row, place].tolist()
    assert written == [word.written for word in words]
    assert sounds == [list(range(2 * len(word.written))) for word in words]
    assert ((texts.sounds != IGNORED).any(dim=2) == (texts.word != IGNORED)).all()
