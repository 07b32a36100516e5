"""Which letter is spoken in which frame: the supervision for the language model's reading."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demo.training.flite import PAUSE, Phone

GAP, OTHER = 1.0, 1.2  # of a missing or inserted phone, and of one in another's place
WORDS = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")


@dataclass(frozen=True)
class _Sound:
    """A phone that a word should have, and how far into the word it is, 0 to 1."""

    phone: str
    word: int
    share: float


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case, each of which is spoken as one."""
    return [word.lower() for word in WORDS.findall(text)]


def letter_of_frames(
    text: str, words: Sequence[Sequence[str]], phones: Sequence[Phone], frames: int, frame_seconds: float
) -> np.ndarray:
    """int64 [frames]: the place in `text` of the letter spoken in each frame's middle.

    `words` are the phones of each of `words_of(text)` spoken alone, `phones` what was spoken. A word's letters count as
    spoken evenly over its phones. Silence counts as the place that was spoken before it, at first as the first one, and
    after the last word as the text's end.
    """
    spans = [found.span() for found in WORDS.finditer(text)]
    expected = [
        _Sound(phone, number, (place + 0.5) / len(word))
        for number, word in enumerate(words)
        for place, phone in enumerate(word)
    ]
    aligned = iter(_align(expected, [phone.name for phone in phones if phone.name != PAUSE]))
    ends, places, current = [], [], spans[0][0]
    last = max(index for index, phone in enumerate(phones) if phone.name != PAUSE)
    for index, phone in enumerate(phones):
        if phone.name != PAUSE:
            sound = next(aligned)
            start, stop = spans[sound.word]
            current = start + int(sound.share * (stop - start))
        ends.append(phone.end)
        places.append(current if index <= last else len(text))
    middles = (np.arange(frames) + 0.5) * frame_seconds
    return np.array([*places, len(text)])[np.searchsorted(ends, middles, side="right")]


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
