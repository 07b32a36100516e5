"""What a reference clip must be, whether a request brings it or a voice profile is made of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.errors import AudioFormatError


@dataclass(frozen=True)
class ReferenceLimits:
    """What a reference clip must be. Seconds; `min_peak` is the smallest largest sample that is not silence."""

    sample_rate: int
    hop_length: int
    min_seconds: float
    max_seconds: float
    min_peak: float

    def checked(self, samples: np.ndarray) -> np.ndarray:
        """The clip as whole codec frames (zeros fill the last), or AudioFormatError."""
        samples = samples.reshape(-1)
        seconds = len(samples) / self.sample_rate
        if not np.isfinite(samples).all():
            raise AudioFormatError("the reference audio holds NaN or infinite samples")
        if not self.min_seconds <= seconds <= self.max_seconds:
            raise AudioFormatError(
                f"the reference audio has {seconds:.2f} s; it must have {self.min_seconds} to {self.max_seconds} s"
            )
        peak = float(np.abs(samples).max())
        if peak < self.min_peak:
            raise AudioFormatError(
                f"the reference audio is silent (peak {peak:.1e}, at least {self.min_peak} is needed)"
            )
        if peak > 1.0:
            raise AudioFormatError(f"the reference audio peaks at {peak:.2f}; samples must lie within -1 and 1")
        return np.pad(samples, (0, -len(samples) % self.hop_length)).astype(np.float32)
