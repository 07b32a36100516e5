"""Words to practise reading on: text alone, and of many words only those that are misread the most.

Most words are soon known, and what is left are exceptions, each of them rare. Examples of speech come too slowly for
these: speech is long and goes through all layers. Which words of a text are misread is known after a few. And words
that nobody speaks, of which there can be any number, are soon made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer

from demo.training.conversations import SYSTEM
from demo.training.examples import END, IGNORED, LOOKAHEAD, PAD, beginning, filled, header, id_of
from demo.training.readings import PHONES_A_LETTER, Reading

SENTENCES, LISTED = 24, 40  # a step looks at the words of so many sentences and at so many of the list
PRACTISED = 80  # and learns so many of them
TOGETHER = 10  # words in a text
PUNCTUATION = ".,;:?!"


@dataclass(frozen=True)
class Word:
    """A word as it is written, and the phones int64 [letters, PHONES_A_LETTER] that each letter stands for."""

    written: str
    sounds: np.ndarray


def words_in(reading: Reading) -> Iterator[Word]:
    """The words of a reading, without the marks behind them."""
    start = 0
    for written in reading.written.split(" "):
        word = written.rstrip(PUNCTUATION)
        if word:
            yield Word(word, reading.sounds[start : start + len(word)])
        start += len(written) + 1


@dataclass(frozen=True)
class Texts:
    """Words in a row, as a server would ask for them: `ids` int64 [texts, length], padded on the right; `sounds` int64
    [texts, length, PHONES_A_LETTER] as in a Batch, but of the words' letters alone; `word` int64 [texts, length], whose
    letter's phones these are, by its place among the words, or IGNORED."""

    ids: torch.Tensor
    sounds: torch.Tensor
    word: torch.Tensor

    @classmethod
    def of(cls, words: Sequence[Word], tokenizer: Tokenizer) -> Texts:
        """Of TOGETHER words each."""
        rows = [_row(words, start, tokenizer) for start in range(0, len(words), TOGETHER)]
        length = max(len(ids) for ids, _, _ in rows)
        fillers = id_of(tokenizer, PAD), IGNORED, IGNORED
        ids, sounds, word = (
            torch.from_numpy(np.stack([filled(row, length, filler) for row in column]))
            for column, filler in zip(zip(*rows, strict=True), fillers, strict=True)
        )
        return cls(ids, sounds, word)


def _row(words: Sequence[Word], start: int, tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    some = words[start : start + TOGETHER]
    before = f"{beginning(SYSTEM)}{header('user')}"
    text = " ".join(word.written for word in some)
    encoded = tokenizer.encode(f"{before}{text}{END}{header('assistant')}", add_special_tokens=False)
    first = np.array([offset for offset, _ in encoded.offsets])
    sounds, word = np.full((len(first), PHONES_A_LETTER), IGNORED), np.full(len(first), IGNORED)
    place = len(before)
    for number, one in enumerate(some, start):
        known = LOOKAHEAD + np.searchsorted(first, place + np.arange(len(one.written)))
        sounds[known], word[known] = one.sounds, number
        place += len(one.written) + 1
    return np.array(encoded.ids), sounds, word
