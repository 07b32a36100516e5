"""The free synthesiser whose speech the demo checkpoint learns: Debian's flite."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

VOICES = ("slt", "rms", "awb")  # a woman and two men; the first is the voice without a reference
PAUSE = "pau"


@dataclass(frozen=True)
class Phone:
    """A phone of flite's, `PAUSE` for silence, and the second in which it ends."""

    name: str
    end: float


def speak(text: str, voice: str, sample_rate: int) -> np.ndarray:
    """`text` in one of VOICES: float32 [samples] at `sample_rate`. Raises RuntimeError without flite."""
    return speak_timed(text, voice, sample_rate)[0]


def speak_timed(text: str, voice: str, sample_rate: int) -> tuple[np.ndarray, list[Phone]]:
    """Like `speak`, with the phones that were spoken."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "speech.wav"
        phones = _run(text, voice, "-psdur", file)
        audio, rate = soundfile.read(file, dtype="float32")
    named = (item.rpartition(":") for item in phones.split())
    resampled = soxr.resample(audio, rate, sample_rate, quality="HQ").astype(np.float32)
    return resampled, [Phone(name, float(end)) for name, _, end in named]


@functools.cache
def pronunciation(word: str) -> tuple[str, ...]:
    """The phones of a word spoken alone; their names are the same in every voice."""
    return tuple(phone for phone in _run(word, VOICES[0], "-ps", Path("none")).split() if phone != PAUSE)


def _run(text: str, voice: str, report: str, file: Path) -> str:
    if shutil.which("flite") is None:
        raise RuntimeError("flite is not installed; on Debian and Ubuntu: apt-get install flite")
    command = ["flite", "-voice", voice, report, "-t", text, "-o", str(file)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
