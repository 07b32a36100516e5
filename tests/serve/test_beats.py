"""A model that hangs without having stopped is noticed by its launcher, which replaces everything."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from runtime.triton.beat import BEAT_SECONDS, Work, beat
from runtime.triton.run_folder import RUN_VARIABLE
from serve.beats import hanging
from tests.serve.launching import command, read_until
from tests.serve.small import make_bundle

# Writes, in the place of our models, that its work has not gone on since the machine was started.
STUCK = 'import os; open(os.path.join(os.environ["HIGGS_RUN_DIR"], "echo.beat"), "wb").write(bytes(8))'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(RUN_VARIABLE, str(tmp_path))
    return tmp_path


def test_a_model_that_hangs_leads_to_a_restart(tmp_path: Path) -> None:
    with command(make_bundle(tmp_path / "bundle", STUCK), "--hang", "0.5") as (process, _):
        read_until(process.stdout, "speak:")
        assert "model echo made no progress for 0.5 s; restarting" in read_until(process.stdout, "restarting")
        read_until(process.stdout, "ready again")


def test_work_that_does_not_go_on_shows_and_rest_does_not(folder: Path) -> None:
    work = Work()
    beat("codec", work.last_progress)
    time.sleep(2 * BEAT_SECONDS)
    assert hanging(folder, 1.0) is None, "nothing to do"
    for _ in range(3):
        work.begin()
    deadline = time.monotonic() + 30
    while hanging(folder, 1.0) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert hanging(folder, 1.0) == "model codec made no progress for 1 s"
    work.end()
    time.sleep(2 * BEAT_SECONDS)
    assert hanging(folder, 10.0) is None, "two are left, but one was finished"


def test_a_lock_that_is_never_free_shows(folder: Path) -> None:
    lock = threading.Lock()

    def last_progress() -> float:
        with lock:
            return time.monotonic()

    beat("lm", last_progress)
    with lock:
        deadline = time.monotonic() + 30
        while hanging(folder, 1.0) is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_model_that_gives_no_sign_is_left_alone(folder: Path) -> None:
    (folder / "new").touch()
    assert hanging(folder, 0.0) is None
