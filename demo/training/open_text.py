"""English to learn to read from, and what is held out of it: any words, in strings that nobody can know by heart.

Letters are learned in their neighbourhoods, so words of every frequency come, and words that do not exist. Most
sentences are loose strings: what is said must be read, it cannot be guessed. Some are the old domain's.
"""

from __future__ import annotations

import functools
import random
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import wordfreq
from num2words import num2words
from pocketsphinx import get_model_path

from demo.domain import Domain, is_held_out

FREQUENT, COMMON = 5000, 50000  # of the commonest words: those that are judged, and those that are usual
FIRST_WORDS, HELD_OUT_SENTENCES = (5, 12), 200  # words of a sentence that is judged
HELD_OUT_RARE, HELD_OUT_INVENTED = 50, 50
HELD_OUT_SEED = 4
DICTIONARY = Path("en-us", "cmudict-en-us.dict")  # the recogniser's: what it lists, it can hear
WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
ROMAN = re.compile(r"[ivxlcm]{2,}")  # numbers, to the synthesiser
FEWEST_LETTERS, MOST_LETTERS = 4, 12  # of an invented word
WORDS = (1, 2, 3, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 11, 12, 14)  # of a loose string
# How often a sentence is of which kind, and how often a word of a loose string is.
KINDS = {"domain": 12, "number": 6, "frequent": 30, "mixed": 52}
SOURCES = {"running": 34, "frequent": 26, "common": 20, "rare": 12, "invented": 8}
LISTED = {"frequent": 10, "common": 30, "rare": 30, "invented": 30}  # likewise of a list of words, before doubles go
COMMA, OTHER_MARK, CAPITAL = 0.06, 0.02, 0.5  # behind a word; and how often a rare word is written as a name
ENDS = "......?!"


@dataclass(frozen=True)
class HeldOut:
    """What is never trained on: sentences in lower case, real words that are rare, mostly names, and invented ones."""

    sentences: tuple[str, ...]
    rare: tuple[str, ...]
    invented: tuple[str, ...]


class OpenText:
    """Draws sentences; everything is the same at every call with the same generator."""

    def __init__(self) -> None:
        self._domain, listed = Domain.load(), dictionary()
        usual = [word for word in wordfreq.top_n_list("en", COMMON) if word in listed and _is_plain(word)]
        judged = set(wordfreq.top_n_list("en", FREQUENT))
        self.frequent = [word for word in usual if word in judged]
        self._common = [word for word in usual if word not in judged]
        known = {*usual, *self._domain.words}
        self._rare = sorted(word for word in listed - known if _is_plain(word))
        # As often as in running text.
        self._weights = [wordfreq.word_frequency(word, "en") for word in self.frequent]
        self._letters = _followers([*self.frequent, *self._common])
        self._taboo = frozenset[str]()
        self.held_out = self._hold_out(random.Random(HELD_OUT_SEED), known | set(self._rare))
        self._taboo = frozenset({*self.held_out.rare, *self.held_out.invented})
        self._sentences = frozenset(self.held_out.sentences)

    def draw(self, generator: random.Random) -> str:
        """One sentence as a user would type it, none of the held-out ones and without their words."""
        while True:
            [kind] = generator.choices(list(KINDS), list(KINDS.values()))
            if kind == "domain":
                sentence = self._domain.draw(generator)
                if not is_held_out(sentence):
                    return self._domain.written(sentence)
                continue
            if kind == "number":
                return _written(self._with_number(generator), generator)
            sources = SOURCES if kind == "mixed" else {"frequent": 1}
            words = self._loose(generator, generator.choice(WORDS), sources)
            if not self._sentences & {" ".join(words).lower()}:
                return _written(words, generator)

    def words(self, count: int, generator: random.Random) -> list[str]:
        """The different ones of `count` words as they are written, in alphabetical order, without those held out."""
        return sorted({*self._loose(generator, count, LISTED)})

    def _loose(self, generator: random.Random, count: int, sources: dict[str, int]) -> list[str]:
        return [self._word(source, generator) for source in generator.choices(
            list(sources), list(sources.values()), k=count
        )]  # fmt: skip

    def _word(self, source: str, generator: random.Random) -> str:
        if source == "running":
            return generator.choices(self.frequent, self._weights)[0]
        if source in {"frequent", "common"}:
            return generator.choice(self.frequent if source == "frequent" else self._common)
        while True:
            word = generator.choice(self._rare) if source == "rare" else self._invented(generator)
            if word not in self._taboo:
                return word.capitalize() if generator.random() < CAPITAL else word

    def _with_number(self, generator: random.Random) -> list[str]:
        """A number, a year or an ordinal, as the server's text normaliser writes it out, among running words."""
        number = generator.randrange(10 ** generator.choice((1, 2, 2, 3, 3, 4, 5, 6)))
        kind = generator.choice(("cardinal", "cardinal", "ordinal", "year"))
        spelled = num2words(number if kind != "year" else generator.randrange(1100, 2100), to=kind)
        before, after = (self._loose(generator, generator.randint(0, 4), {"running": 1}) for _ in range(2))
        return [*before, *spelled.split(), *after]

    def _invented(self, generator: random.Random) -> str:
        """A word that looks English: each letter follows the three before it in some word."""
        while True:
            word = "^^^"
            while not word.endswith("$"):
                word += generator.choice(self._letters[word[-3:]])
            if FEWEST_LETTERS <= len(word) - 4 <= MOST_LETTERS:
                return word[3:-1]

    def _hold_out(self, generator: random.Random, real: set[str]) -> HeldOut:
        sentences = [
            " ".join(generator.choices(self.frequent, k=generator.randint(*FIRST_WORDS)))
            for _ in range(HELD_OUT_SENTENCES)
        ]
        rare = generator.sample([word for word in self._rare if len(word) >= FEWEST_LETTERS], HELD_OUT_RARE)
        invented = dict[str, None]()
        while len(invented) < HELD_OUT_INVENTED:
            word = self._invented(generator)
            if word not in real:
                invented[word] = None
        return HeldOut(tuple(sentences), tuple(rare), tuple(invented))


@functools.cache
def dictionary() -> frozenset[str]:
    """The words that the recogniser can hear."""
    lines = Path(get_model_path(), DICTIONARY).read_text("utf-8").splitlines()
    return frozenset(word for line in lines if WORD.fullmatch(word := line.split(maxsplit=1)[0]))


def _is_plain(word: str) -> bool:
    """Whether a word is spoken as a word: neither spelled out nor a fragment nor a number."""
    return word in {"a", "i"} or (len(word) > 1 and bool(re.search("[aeiouy]", word)) and not ROMAN.fullmatch(word))


def _followers(words: list[str]) -> dict[str, str]:
    """What may follow three letters of a word, as often as it does; `^` stands before a word, `$` behind it."""
    found: dict[str, list[str]] = defaultdict(list)
    for word in words:
        if word.isalpha():
            marked = f"^^^{word}$"
            for place in range(3, len(marked)):
                found[marked[place - 3 : place]].append(marked[place])
    return {before: "".join(after) for before, after in found.items()}


def _written(words: list[str], generator: random.Random) -> str:
    """With a capital, pauses and an end."""
    marked = [
        word + ("," if chance < COMMA else generator.choice(";:") if chance < COMMA + OTHER_MARK else "")
        for word, chance in ((word.rstrip(","), generator.random()) for word in words[:-1])
    ]
    text = " ".join(re.sub("^i(?=$|[',;:])", "I", word) for word in [*marked, words[-1]])
    return text[0].upper() + text[1:] + generator.choice(ENDS)
