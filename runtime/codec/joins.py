"""Where two parts of a stream meet: each is decoded by itself, so both edges are brought to zero."""

from __future__ import annotations

import numpy as np


def joined(audio: np.ndarray, begins: bool, ends: bool, fade: int, pause: int) -> np.ndarray:
    """The audio with its edges faded where another part joins, and the pause behind it.

    audio: float32 [samples]; fade: samples of each edge that is faded; pause: samples of silence. Returns float32
    [samples + pause].
    """
    shaped = np.pad(audio, (0, pause))
    length = min(fade, len(audio))
    # Half a cosine: neither the signal nor its slope jumps.
    ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / max(1, length))).astype(audio.dtype)
    if begins:
        shaped[:length] *= ramp
    if ends:
        shaped[len(audio) - length : len(audio)] *= ramp[::-1]
    return shaped
