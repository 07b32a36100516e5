"""Which word is spoken in which frame: the supervision for the language model's reading."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from demo.training.flite import PAUSE, Phone

GAP, OTHER = 1.0, 1.2  # of a missing or inserted phone, and of one in another's place


def word_of_frames(
    words: Sequence[Sequence[str]], phones: Sequence[Phone], frames: int, frame_seconds: float
) -> np.ndarray:
    """int16 [frames]: the number of the word spoken in each frame's middle.

    `words` are the phones of each word spoken alone, `phones` what was spoken. Silence before the first word counts as
    that word, between two words as the one before, and after the last one as one more word, the end.
    """
    expected = [(phone, number) for number, word in enumerate(words) for phone in word]
    spoken = [phone for phone in phones if phone.name != PAUSE]
    numbers = iter(_align([phone for phone, _ in expected], [number for _, number in expected], spoken))
    ends, labels, current = [], [], 0
    last = max(index for index, phone in enumerate(phones) if phone.name != PAUSE)
    for index, phone in enumerate(phones):
        if phone.name != PAUSE:
            current = next(numbers)
        ends.append(phone.end)
        labels.append(current if index <= last else len(words))
    middles = (np.arange(frames) + 0.5) * frame_seconds
    return np.array([*labels, len(words)], np.int16)[np.searchsorted(ends, middles, side="right")]


def _align(expected: list[str], words: list[int], spoken: Sequence[Phone]) -> list[int]:
    """The word of each spoken phone, by the cheapest alignment of the two phone strings."""
    rows, columns = len(expected) + 1, len(spoken) + 1
    cost = np.add.outer(np.arange(rows) * GAP, np.arange(columns) * GAP)
    for i in range(1, rows):
        for j in range(1, columns):
            other = OTHER * (expected[i - 1] != spoken[j - 1].name)
            cost[i, j] = min(cost[i - 1, j - 1] + other, cost[i - 1, j] + GAP, cost[i, j - 1] + GAP)
    i, j, found = rows - 1, columns - 1, [0] * len(spoken)
    while j:
        other = OTHER * (i > 0 and expected[i - 1] != spoken[j - 1].name)
        if i and cost[i, j] == cost[i - 1, j - 1] + other:
            i, j = i - 1, j - 1
            found[j] = words[i]
        elif i and cost[i, j] == cost[i - 1, j] + GAP:
            i -= 1
        else:
            j -= 1
            found[j] = words[i - 1] if i else 0
    return found
