"""`make torture` in short: malformed requests, cancels and vanished clients cost a bystander no sample."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.torture.__main__ import main


def test_a_bystander_hears_every_sample(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = {"requests": 20, "cancels": 6, "vanishing": 10, "breakdowns": 0, "minutes": 0}
    options = [f"--{name}={count}" for name, count in counts.items()]
    harmed = main([f"--bundle={bundle}", f"--log={tmp_path / 'launcher.log'}", *options])
    assert harmed == 0, capsys.readouterr().out
