"""The command `python -m serve`, its output, and the processes of whatever a test starts."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import IO

import psutil

from serve.ports import Ports
from serve.processes import STUB

ROOT = Path(__file__).resolve().parents[2]
MARK = "HIGGS_TEST"  # in the environment of what a test starts, and of what that starts


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def stubs() -> list[psutil.Process]:
    """The model processes of whatever this test started, found without asking the launcher."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        command, environment = process.info["cmdline"] or [""], process.info["environ"] or {}
        if STUB in command[0] and environment.get(MARK) == os.environ[MARK]:
            found.append(process)
    return found


def answers(address: str) -> bool:
    host, port = address.split(":")
    connection = HTTPConnection(host, int(port), timeout=2)
    body = '{"inputs": [{"name": "question", "datatype": "FP32", "shape": [1], "data": [42]}]}'
    try:
        connection.request("POST", "/v2/models/echo/infer", body)
        return '"data":[42.0]' in connection.getresponse().read().decode()
    except OSError:
        return False
    finally:
        connection.close()


@contextmanager
def command(bundle: Path, *more: str, seconds: float = 30.0) -> Iterator[tuple[subprocess.Popen[str], Ports]]:
    """`python -m serve` as a user runs it, on free ports, in the checkout; without a gateway unless it is asked for."""
    ports = Ports.free()
    options = [
        "--gateway=off",
        f"--http-port={ports.http}",
        f"--grpc-port={ports.grpc}",
        f"--metrics-port={ports.metrics}",
    ]
    words = [sys.executable, "-u", "-m", "serve", str(bundle), *options, *more]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    limit = threading.Timer(seconds, process.kill)  # ends a test that waits for a line which never comes
    limit.start()
    try:
        yield process, ports
    finally:
        limit.cancel()
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def read_until(stream: IO[str] | None, words: str) -> str:
    assert stream is not None
    seen = []
    for line in stream:
        seen.append(line)
        if words in line:
            return line
    raise AssertionError(f"ended without {words!r}: {''.join(seen)}")
