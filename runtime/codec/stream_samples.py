"""The samples that a decoded window adds to its stream: clipped, and faded where two parts meet."""

from __future__ import annotations

import numpy as np

from runtime.formats.window import Window


def stream_samples(new: np.ndarray, window: Window, hop_length: int, fade: int) -> np.ndarray:
    """The new samples of a window, float32 in [-1, 1], followed by the pause.

    new: float32 [count * hop_length], as decoded. fade: samples to fade at each edge where another part joins: each
    part is decoded on its own, so both edges fade to zero.
    """
    shaped = np.pad(np.clip(new, -1.0, 1.0), (0, window.pause * hop_length))
    length = min(fade, len(new))
    # Half a cosine: neither the signal nor its slope jumps.
    ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / max(1, length))).astype(shaped.dtype)
    if window.begins:
        shaped[:length] *= ramp
    if window.ends:
        shaped[len(new) - length : len(new)] *= ramp[::-1]
    return shaped
