"""Which letter each phone is spelled by, and what each letter stands for: the supervision for the model's reading."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demo.training.flite import PAUSE
from demo.training.readings import PHONES, PHONES_A_LETTER
from demo.training.spelling import Spelling

GAP, OTHER = 1.0, 1.2  # of a missing or inserted phone, and of one in another's place
WORDS = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")


@dataclass(frozen=True)
class _Sound:
    """A phone that a text should have, and the place of the letter that it is spelled by."""

    phone: str
    place: int


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case, each of which is spoken as one."""
    return [word.lower() for word in WORDS.findall(text)]


class LetterTiming:
    """`sounds` int64 [letters, PHONES_A_LETTER] are the phones that each letter of a spoken text stands for; `places`
    int64 [phones] the place in the text of the letter that each phone is spelled by.

    Silence counts as the place that was spoken before it, at first as the first one, and after the last word as the
    text's end.
    """

    def __init__(self, text: str, words: Sequence[Sequence[str]], phones: Sequence[str], spelling: Spelling) -> None:
        """`words` are the phones of each of `words_of(text)` spoken alone, `phones` what was spoken."""
        expected = [
            _Sound(phone, found.start() + place)
            for found, word in zip(WORDS.finditer(text), words, strict=True)
            for phone, place in zip(word, spelling.letters(found.group().lower(), word), strict=True)
        ]
        spoken = [phone for phone in phones if phone != PAUSE]
        aligned = _align(expected, spoken)
        self.sounds = np.zeros((len(text), PHONES_A_LETTER), np.int64)
        heard = [0] * len(text)
        for name, sound in zip(spoken, aligned, strict=True):
            if heard[sound.place] < PHONES_A_LETTER:
                self.sounds[sound.place, heard[sound.place]] = PHONES.index(name)
                heard[sound.place] += 1
        places, current, following = list[int](), expected[0].place, iter(aligned)
        last = max(index for index, phone in enumerate(phones) if phone != PAUSE)
        for index, phone in enumerate(phones):
            if phone != PAUSE:
                current = next(following).place
            places.append(current if index <= last else len(text))
        self.places = np.array(places)


def _align(expected: Sequence[_Sound], spoken: Sequence[str]) -> list[_Sound]:
    """What each spoken phone stands for, by the cheapest alignment of the two phone strings."""
    names = [sound.phone for sound in expected]
    cost = [[column * GAP for column in range(len(spoken) + 1)]]
    for i, name in enumerate(names, start=1):
        above, row = cost[-1], [i * GAP]
        for j, other in enumerate(spoken):
            row.append(min(above[j] + OTHER * (name != other), above[j + 1] + GAP, row[j] + GAP))
        cost.append(row)
    i, j, found = len(names), len(spoken), [expected[0]] * len(spoken)
    while j:
        if i and cost[i][j] == cost[i - 1][j - 1] + OTHER * (names[i - 1] != spoken[j - 1]):
            i, j = i - 1, j - 1
            found[j] = expected[i]
        elif i and cost[i][j] == cost[i - 1][j] + GAP:
            i -= 1
        else:
            j -= 1
            found[j] = expected[max(i - 1, 0)]
    return found
