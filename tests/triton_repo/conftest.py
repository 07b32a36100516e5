"""The models' shared modules as a Triton model imports them, and processes of their own that do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "triton_repo"

Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    """`common` and the modules beside `codec_encoder` can be imported."""
    for folder in (MODELS, MODELS / "codec_encoder"):
        monkeypatch.syspath_prepend(folder)


@pytest.fixture
def run() -> Iterator[Run]:
    """Starts a Python of its own over some code, with words behind it."""
    path = os.pathsep.join(str(folder) for folder in (MODELS, MODELS / "codec_encoder"))
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *words: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, words)],
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
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
