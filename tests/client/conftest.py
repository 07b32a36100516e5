"""A real Triton with stand-in models, started once for the tests that leave it alive."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .standin.server import StandInServer

CLIENT = Path(__file__).parents[2] / "client"

Command = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandInServer]:
    standin = StandInServer(tmp_path_factory.mktemp("triton"))
    yield standin
    standin.kill()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[StandInServer]:
    """A server that the test may kill or stop."""
    standin = StandInServer(tmp_path)
    yield standin
    standin.kill()


@pytest.fixture
def settled(server: StandInServer) -> Iterator[StandInServer]:
    """The shared server; fails when the test leaves streams alive on it."""
    yield server
    deadline = time.monotonic() + 5
    while server.live() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.live() == 0


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """Starts the command line as a process of its own in an empty folder."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str, **options: object) -> "subprocess.Popen[bytes]":
        streams: dict[str, object] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = subprocess.Popen(
            # A test run in the background of a shell ignores Ctrl-C, and its children would too.
            ["env", "--default-signal=INT", sys.executable, "-m", "higgs_tts", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(CLIENT)},
            **{**streams, **options},  # type: ignore[call-overload]
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
