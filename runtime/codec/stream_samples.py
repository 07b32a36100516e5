"""The samples that a decoded window adds to its stream: clipped, and faded where two parts meet."""

from __future__ import annotations

import numpy as np

from runtime.formats.window import Window

NOTHING = np.zeros(0, np.float32)


def stream_samples(
    new: np.ndarray, window: Window, hop_length: int, fade: int, held: np.ndarray = NOTHING
) -> tuple[np.ndarray, np.ndarray]:
    """The new samples of a window, float32 in [-1, 1], followed by the pause; and those that are held back.

    new: float32 [count * hop_length], as decoded. fade: samples to fade at each edge where another part joins: each
    part is decoded on its own, so both edges fade to zero. held: what the window before, whose end was open, held back:
    as many as may have to fade.
    """
    new = np.concatenate([held, np.clip(new, -1.0, 1.0)])
    length = min(fade, len(new))
    # Half a cosine: neither the signal nor its slope jumps.
    ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / max(1, length))).astype(new.dtype)
    if window.begins:
        new[:length] *= ramp
    if window.ends:
        new[len(new) - length :] *= ramp[::-1]
    if window.open:
        return new[: len(new) - length], new[len(new) - length :]
    return np.pad(new, (0, window.pause * hop_length)), NOTHING
