"""A Triton over the demo bundle and gateways in front of it, run by the Python that has their packages."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "artifacts" / "demo"
PYTHON = os.environ.get("GATEWAY_PYTHON", "")  # of the bundle's environment: clients' packages clash with its
HOST = "127.0.0.1"
START_SECONDS = 120.0
# Serves until its standard input ends, so that it ends with the tests, however they end.
_SERVE = """
import sys
from pathlib import Path
from serve.triton import TritonServer
with TritonServer(Path(sys.argv[1]), state=Path(sys.argv[2])) as server:
    print(server.grpc_url, server.metrics_url, flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True)
class Triton:
    """HOST:PORT of its gRPC endpoint and of its metrics."""

    grpc: str
    metrics: str

    def live_streams(self) -> int:
        """How many speeches it generates at the moment."""
        return int(_metric(self.metrics, "higgs_live_streams"))


@contextmanager
def triton(state: Path) -> Iterator[Triton]:
    """One over the demo bundle, on ports of its own. state: folder for voices that are added."""
    if not PYTHON:
        raise RuntimeError("GATEWAY_PYTHON names no Python; make test-clients sets it.")
    command = [PYTHON, "-c", _SERVE, str(BUNDLE), str(state)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline().split()
        assert len(line) == 2, "Triton did not start."
        yield Triton(*line)


@contextmanager
def gateway(triton: Triton, *options: str) -> Iterator[str]:
    """http://HOST:PORT of a `python -m gateway` with these options."""
    port = free_port()
    command = [PYTHON, "-m", "gateway", "--triton", triton.grpc, "--port", str(port), *options]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": "client"}) as process:
        url, deadline = f"http://{HOST}:{port}", time.monotonic() + START_SECONDS
        while not _answers(url):
            assert process.poll() is None and time.monotonic() < deadline, "The gateway did not start."
            time.sleep(0.1)
        try:
            yield url
        finally:
            process.terminate()


def free_port() -> int:
    """One where nobody listens yet."""
    with socket.create_server((HOST, 0)) as free:
        return int(free.getsockname()[1])


def speeches(url: str, outcome: str) -> int:
    """How many speeches of a gateway ended so."""
    return int(_metric(url.removeprefix("http://"), f'higgs_gateway_speeches_total{{[^}}]*outcome="{outcome}"[^}}]*}}'))


def _answers(url: str) -> bool:
    try:
        return bool(_read(f"{url}/health/live"))
    except OSError:
        return False


def _metric(address: str, series: str) -> float:
    """The sum of all series of which the pattern is the name."""
    return sum(map(float, re.findall(rf"^{series} (\S+)$", _read(f"http://{address}/metrics"), re.MULTILINE)))


def _read(url: str) -> str:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as answer:
        return str(answer.read().decode())
