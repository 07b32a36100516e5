"""The Python that has the compilers may be another than the one that runs the build."""

from __future__ import annotations

import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import pytest

from build.errors import BuildError
from build.interpreter import Interpreter
from build.targets import load_target


def test_compilers_may_live_in_another_python(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As in NVIDIA's container. Versions are asked of it, and each step runs in it."""
    elsewhere = tmp_path / "python3"
    elsewhere.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    elsewhere.chmod(0o755)
    python = Interpreter(str(elsewhere))
    assert not python.is_this
    assert python.python == Interpreter().python
    asked = ("numpy", "no-such-package")
    assert (
        python.versions(asked) == Interpreter().versions(asked) == {"numpy": version("numpy"), "no-such-package": None}
    )
    target = asdict(load_target("h100"))
    order = {"compiler": "codec", "exports": str(tmp_path / "none"), "folder": str(tmp_path), "target": target}
    with pytest.raises(BuildError, match=r"-m build\.compile failed; its message is above"):
        python.run("build.compile", order)
    said = capfd.readouterr().err
    assert said.startswith(f"build: {tmp_path}/none/export.json cannot be read")
    assert said.count("\n") == 1
    with pytest.raises(BuildError, match="the Python no-such-python cannot be run"):
        Interpreter("no-such-python").versions(asked)
