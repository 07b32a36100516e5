"""Voice profiles: named reference clips with their words, read once from plain files beside the model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from common.errors import AudioFormatError, InvalidRequestError, ModelLoadingError


@dataclass(frozen=True)
class VoiceProfile:
    """A voice: `samples` float32 [samples] at the codec's rate, the `transcript` they say, free-form `metadata`."""

    name: str
    samples: np.ndarray
    transcript: str
    metadata: dict[str, Any]
    description: str = ""


class VoiceLibrary:
    """All profiles of a folder: NAME.wav with NAME.txt, and optionally NAME.json with metadata."""

    def __init__(self, directory: Path, sample_rate: int) -> None:
        self._voices = {wav.stem: _read(wav, sample_rate) for wav in sorted(directory.glob("*.wav"))}

    def profiles(self) -> list[VoiceProfile]:
        """Every voice, by name."""
        return list(self._voices.values())

    def load(self, name: str) -> tuple[VoiceProfile, np.ndarray]:
        """The profile and its clip, or InvalidRequestError that lists the ones there are."""
        if name not in self._voices:
            known = ", ".join(self._voices) or "none in this bundle"
            raise InvalidRequestError(f"voice {name!r} is unknown; there are: {known}")
        return self._voices[name], self._voices[name].samples


def _read(wav: Path, sample_rate: int) -> VoiceProfile:
    metadata = wav.with_suffix(".json")
    try:
        samples, rate = soundfile.read(wav, dtype="float32", always_2d=True)
        transcript = wav.with_suffix(".txt").read_text().strip()
        details = json.loads(metadata.read_text()) if metadata.exists() else {}
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelLoadingError(f"voice {wav.stem} cannot be read: {error}") from error
    if rate != sample_rate:
        raise ModelLoadingError(f"voice {wav.stem} has {rate} Hz; the assembler stores {sample_rate} Hz")
    return VoiceProfile(wav.stem, samples.mean(axis=1), transcript, details)


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
