"""The free synthesiser whose speech the demo checkpoint learns: Debian's flite."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

PAUSE = "pau"
TOGETHER = 40  # words whose pronunciations are asked for at once
PRONOUNCER = "kal16"  # the voice that is soonest done; its phones are the other voices'


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


def phones_of(text: str) -> list[str]:
    """The phones with which any of the voices speaks `text`, without the speech."""
    return _run(text, PRONOUNCER, "-ps", Path("none")).split()


def pronunciations(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The phones of each word spoken alone, by any of the voices."""
    found: dict[str, tuple[str, ...]] = {}
    ordered = sorted(words)
    for start in range(0, len(ordered), TOGETHER):
        some = ordered[start : start + TOGETHER]
        spoken = _phones(". ".join(some))
        if len(spoken) != len(some):  # an abbreviation, say, before whose full stop nobody pauses
            spoken = [tuple(itertools.chain(*_phones(word))) for word in some]
        found |= zip(some, spoken, strict=True)
    return found


def _phones(text: str) -> list[tuple[str, ...]]:
    """Those between the pauses."""
    runs = itertools.groupby(phones_of(text), key=lambda name: name == PAUSE)
    return [tuple(run) for is_pause, run in runs if not is_pause]


def _run(text: str, voice: str, report: str, file: Path) -> str:
    if shutil.which("flite") is None:
        raise RuntimeError("flite is not installed; on Debian and Ubuntu: apt-get install flite")
    command = ["flite", "-voice", voice, report, "-t", text, "-o", str(file)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
