"""The last two codes of a frame say where in the text the speech is.

What they would mend of the sound is 0.3 % of its variance, which is hardly heard and which the language model hardly
learns. But what it says is all that it knows of what it has said, and by sounds alone it loses its place: letters
sound alike, a closure is like a pause. So these codes are marks. In every column of the delay pattern the last one says
which letter is spoken, and for how many frames it has been; the one before it says between which letters that of the
column before stands: codes of a column are chosen apart, and of two that said the same one might differ. The commonest
marks are codes of the smallest points.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from demo.sizes import NUM_CODEBOOKS

MARKED = NUM_CODEBOOKS - 2  # the first codebook whose codes are marks
# By how common they are; a digit is "0", what follows a text begins with "<", and all else is the last one.
SYMBOLS = "etaoin srhldcumfpgwybvk'.<0xjqz"
LONGEST = 32  # frames that are counted


class PlaceMarks:
    """Marks as codes of a code space."""

    def __init__(self, codebooks: torch.Tensor) -> None:
        """`codebooks` float32 [codebooks, codes, size]."""
        symbols, frames = len(SYMBOLS) + 1, np.arange(LONGEST)
        ranks = np.arange(1, symbols + 1)
        between, spoken = (
            _by_length(codebooks[codebook], rarity.ravel())
            for codebook, rarity in (
                (MARKED, np.outer(ranks, ranks)),
                (MARKED + 1, np.outer(ranks, np.square(frames + 1))),
            )
        )
        self._between, self._spoken = between.reshape(symbols, symbols), spoken.reshape(symbols, LONGEST)
        size, halves = codebooks.shape[2], symbols + max(symbols, LONGEST)
        # float32 [codebooks, codes, at least their size]: what the codes stand for, the marks by their two halves.
        self.points = functional.pad(codebooks, (0, max(0, halves - size)))
        self.points[MARKED:] = 0
        for codebook, table in ((MARKED, self._between), (MARKED + 1, self._spoken)):
            first, second = (torch.from_numpy(half.ravel()) for half in np.indices(table.shape))
            self.points[codebook, table.ravel(), first] = 1
            self.points[codebook, table.ravel(), symbols + second] = 1

    def mark(self, codes: np.ndarray, text: str, places: np.ndarray) -> np.ndarray:
        """`codes` int64 [codebooks, frames] with marks; `places` int64 [frames] are characters of `text`, which goes on
        behind the last one."""
        symbols = np.array([_symbol(character) for character in text])
        place = np.append(places, np.repeat(places[-1], NUM_CODEBOOKS))
        begins = np.flatnonzero(np.diff(place, prepend=-1))
        frames = np.arange(len(place))
        count = frames - begins[np.searchsorted(begins, frames, side="right") - 1]
        spoken = self._spoken[symbols[place], np.minimum(count, LONGEST - 1)]
        between = self._between[symbols[np.maximum(place - 1, 0)], symbols[place + 1]]
        length = codes.shape[1]
        # A column of the delay pattern holds codebook k of the frame k before that of its first one.
        marks = between[MARKED - 1 :][:length], spoken[MARKED + 1 :][:length]
        return np.concatenate([codes[:MARKED], marks])


def _symbol(character: str) -> int:
    found = SYMBOLS.find("0" if character.isdigit() else character.lower())
    return found if found >= 0 else len(SYMBOLS)


def _by_length(codebook: torch.Tensor, rarity: np.ndarray) -> np.ndarray:
    """A code for each of `rarity` [marks], the commonest ones those of the shortest points of [codes, size]."""
    codes = np.empty(len(rarity), np.int64)
    lengths = codebook.double().square().sum(dim=1)  # exact: the same order on every machine
    codes[np.argsort(rarity, kind="stable")] = lengths.argsort(stable=True)[: len(rarity)].numpy()
    return codes
