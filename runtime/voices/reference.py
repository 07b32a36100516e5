"""The rules for a reference clip, whether it comes with a request or in a voice profile.

A clip is cut to whole codec frames: then the codec's semantic and acoustic branches see the same audio, and the codes
equal those of transformers and of Boson's code, which pad other lengths, each in its own way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from runtime.formats.errors import AudioFormatError


@dataclass(frozen=True)
class ReferenceRules:
    """What a reference clip must be. Seconds; `min_peak` is the smallest largest sample that is not silence."""

    sample_rate: int
    hop_length: int
    min_seconds: float
    max_seconds: float
    min_peak: float

    def checked(self, samples: np.ndarray) -> np.ndarray:
        """The clip cut to whole codec frames, float32 [frames * hop_length]. Raises AudioFormatError."""
        samples = samples.reshape(-1)
        seconds = len(samples) / self.sample_rate
        if not np.isfinite(samples).all():
            raise AudioFormatError("the reference audio holds NaN or infinite samples")
        shortest = max(self.min_seconds, self.hop_length / self.sample_rate)
        if not shortest <= seconds <= self.max_seconds:
            raise AudioFormatError(
                f"the reference audio lasts {seconds:.2f} s; it must last {shortest} to {self.max_seconds} s"
            )
        samples = samples[: len(samples) - len(samples) % self.hop_length]
        peak = float(np.abs(samples).max())
        if peak < self.min_peak:
            raise AudioFormatError(
                f"the reference audio is silent (peak {peak:.1e}; at least {self.min_peak} is needed)"
            )
        if peak > 1.0:
            raise AudioFormatError(f"the reference audio peaks at {peak:.2f}; samples must lie within -1 and 1")
        return samples.astype(np.float32)
