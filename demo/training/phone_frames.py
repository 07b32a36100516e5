"""How flite's speech is cut into frames to learn from: each of them holds one phone, or a part of one.

The phones of natural speech begin anywhere in a codec's frames, and a model of codes has to learn every phone at every
offset. Here each phone is read in a whole number of frames, which its own length rounds to: the codes then depend on
the phone, its neighbours, the voice and the melody alone. A codec knows nothing of it and speaks them as they come, so
a phone lasts up to half a frame more or less than the synthesiser's; over a sentence that evens out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demo.codec import SAMPLE_RATE
from demo.training.features import HOP
from demo.training.flite import Phone


@dataclass(frozen=True)
class PhoneFrames:
    """`counts` int64 [phones] of frames; `borders` float64 [frames + 1], in samples, where they begin and end."""

    counts: np.ndarray
    borders: np.ndarray

    @classmethod
    def of(cls, phones: Sequence[Phone]) -> PhoneFrames:
        """Every phone in frames of equal length, as near to HOP samples as whole numbers allow."""
        ends = np.array([0.0, *(phone.end for phone in phones)]) * SAMPLE_RATE
        counts = np.maximum(1, np.round(np.diff(ends) / HOP)).astype(np.int64)
        frames = np.concatenate([[0], np.cumsum(counts)])
        return cls(counts, np.interp(np.arange(frames[-1] + 1), frames, ends))
