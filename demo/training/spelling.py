"""Which letters of a word spell which of its phones, learned from words and their pronunciations alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from demo.training.readings import PHONES_A_LETTER

ROUNDS = 5
UNSEEN = 1e-6  # the chance of a letter's standing for a phone that it was never seen with

Spelled = tuple[str, tuple[str, ...]]  # a letter, and the phones that it stands for


class Spelling:
    """How likely each letter stands for which phones."""

    def __init__(self, chances: Mapping[Spelled, float] | None = None) -> None:
        """Without `chances`, every one is as likely."""
        self._chances = chances

    @classmethod
    def learn(cls, spoken: Mapping[str, Sequence[str]]) -> Spelling:
        """From the phones of each word: expectation maximisation."""
        spelling = cls()
        for _ in range(ROUNDS):
            counts = defaultdict[Spelled, float](float)
            for word, phones in spoken.items():
                spelling._count(word, phones, counts)
            of_letter = defaultdict[str, float](float)
            for (letter, _), count in counts.items():
                of_letter[letter] += count
            spelling = cls({spelled: count / of_letter[spelled[0]] for spelled, count in counts.items()})
        return spelling

    def letters(self, word: str, phones: Sequence[str]) -> list[int]:
        """The place in `word` of the letter that each phone is spelled by, as is likeliest; evenly spread where letters
        cannot stand for so many phones, as those of an abbreviation cannot."""
        best = np.zeros((len(word) + 1, len(phones) + 1))
        best[0, 0] = 1.0
        before = dict[tuple[int, int], int]()
        for place, said, step, chance in self._steps(word, phones):
            if best[place, said] * chance > best[place + 1, said + step]:
                best[place + 1, said + step] = best[place, said] * chance
                before[place + 1, said + step] = said
        if not best[-1, -1]:
            return [index * len(word) // len(phones) for index in range(len(phones))]
        places, said = [0] * len(phones), len(phones)
        for place in range(len(word), 0, -1):
            start = before[place, said]
            places[start:said] = [place - 1] * (said - start)
            said = start
        return places

    def _count(self, word: str, phones: Sequence[str], counts: dict[Spelled, float]) -> None:
        """Adds how often each letter of a word is expected to stand for which phones."""
        steps = list(self._steps(word, phones))
        ahead, behind = (np.zeros((len(word) + 1, len(phones) + 1)) for _ in range(2))
        ahead[0, 0] = behind[-1, -1] = 1.0
        for place, said, step, chance in steps:
            ahead[place + 1, said + step] += ahead[place, said] * chance
        for place, said, step, chance in reversed(steps):
            behind[place, said] += behind[place + 1, said + step] * chance
        if ahead[-1, -1]:
            for place, said, step, chance in steps:
                share = ahead[place, said] * chance * behind[place + 1, said + step] / ahead[-1, -1]
                counts[word[place], tuple(phones[said : said + step])] += share

    def _steps(self, word: str, phones: Sequence[str]) -> Iterator[tuple[int, int, int, float]]:
        """Every letter's place, how many phones were said before it, how many it stands for, and how likely."""
        for place, letter in enumerate(word):
            for said in range(min(len(phones), place * PHONES_A_LETTER) + 1):
                for step in range(min(PHONES_A_LETTER, len(phones) - said) + 1):
                    yield place, said, step, self._chance((letter, tuple(phones[said : said + step])))

    def _chance(self, spelled: Spelled) -> float:
        return 1.0 if self._chances is None else max(self._chances.get(spelled, 0.0), UNSEEN ** max(1, len(spelled[1])))
