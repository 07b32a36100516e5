"""The models' signs of life (`runtime/triton/beat.py`): a file each, in the folder of the run."""

from __future__ import annotations

import struct
import time
from pathlib import Path

_SUFFIX = ".beat"
# Longer than any step that makes progress: the longest prompt on a slow CPU, or what is compiled when first needed.
HANG_SECONDS = 300.0


def hanging(folder: Path, seconds: float) -> str | None:
    """Which models have had work for so many seconds without progress, in words; None when all go on."""
    now = time.monotonic()
    beats = sorted(folder.glob(f"*{_SUFFIX}"))
    names = [file.stem for file in beats if now - _last_progress(file, now) > seconds]
    return f"model {' and '.join(names)} made no progress for {seconds:g} s" if names else None


def _last_progress(file: Path, now: float) -> float:
    content = file.read_bytes()
    return float(struct.unpack("<d", content)[0]) if len(content) == struct.calcsize("<d") else now
