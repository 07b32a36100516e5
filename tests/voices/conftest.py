"""Folders for a store of voices, and processes of their own that import the runtime."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import soundfile

from tests.voices.stores import RATE, clip

ROOT = Path(__file__).resolve().parents[2]

Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def run() -> Iterator[Run]:
    """Starts a Python of its own over some code, with words behind it."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *words: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, words)],
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A bundle with the voice `tone`, and a place for the state."""
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    soundfile.write(bundle / "tone.wav", clip(0.25), RATE, subtype="FLOAT")
    profile = {"transcript": "a tone", "audio": "tone.wav", "seconds": 1.0, "metadata": {"language": "en"}}
    (bundle / "tone.profile.json").write_text(json.dumps(profile))
    return bundle, tmp_path / "state" / "voices"
