"""The free synthesiser whose speech the demo checkpoint learns: Debian's flite."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import soxr

VOICES = ("slt", "rms", "awb")  # a woman and two men; the first is the voice without a reference


def speak(text: str, voice: str, sample_rate: int) -> np.ndarray:
    """`text` in one of VOICES: float32 [samples] at `sample_rate`. Raises RuntimeError without flite."""
    if shutil.which("flite") is None:
        raise RuntimeError("flite is not installed; on Debian and Ubuntu: apt-get install flite")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "speech.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(file)], check=True, capture_output=True)
        audio, rate = soundfile.read(file, dtype="float32")
    return soxr.resample(audio, rate, sample_rate, quality="HQ").astype(np.float32)
