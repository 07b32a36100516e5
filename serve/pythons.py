"""Which Python has some packages: this one, or, where it is NVIDIA's and must stay as it is, .venv's beside it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_HAS = "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, sys.argv[1:])))"


def python_with(packages: Sequence[str]) -> str | None:
    """The interpreter; None where neither has all of them."""
    pythons = (sys.executable, *map(str, ROOT.glob(".venv/bin/python")))
    return next((python for python in pythons if _has(python, packages)), None)


def _has(python: str, packages: Sequence[str]) -> bool:
    command = [python, "-c", _HAS, *packages]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0
