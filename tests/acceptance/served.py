"""A bundle served by `python -m serve`, as its user runs it: in the Python that has what the bundle needs."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path

import psutil

from serve.errors import DeviceError
from serve.gpu import query_gpus
from serve.ports import Ports
from serve.triton import START_SECONDS, STOP_SECONDS

_ROOT = Path(__file__).resolve().parents[2]


class ServeError(Exception):
    """The server did not start; holds what it said."""


class ServedBundle:
    """A server on free ports, ready once it is made. Raises ServeError with its last line where it does not start."""

    def __init__(self, python: str, bundle: Path, options: list[str]) -> None:
        started, ports = time.monotonic(), Ports.free()
        self.grpc_url, self.metrics_url = f"127.0.0.1:{ports.grpc}", f"127.0.0.1:{ports.metrics}"
        self.said: list[str] = []  # its lines so far: among them every restart of a model that died
        self._ready = threading.Event()
        command = [python, "-u", "-m", "serve", str(bundle.absolute()), "--gateway=off", *options]
        command += [f"--{name}-port={getattr(ports, name)}" for name in ("http", "grpc", "metrics")]
        self._process = subprocess.Popen(
            command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        threading.Thread(target=self._listen, daemon=True).start()
        self._ready.wait(START_SECONDS)
        if not any(line.startswith("ready:") for line in self.said):
            self.stop()
            raise ServeError(self.said[-1] if self.said else "the server said nothing")
        self.start_seconds = time.monotonic() - started

    def stop(self) -> tuple[float, int]:
        """Stop it as Ctrl-C does; returns the seconds it took and its exit code."""
        started = time.monotonic()
        self._process.terminate()
        try:
            code = self._process.wait(4 * STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return time.monotonic() - started, code

    def memory_bytes(self) -> int:
        """Resident memory of Triton and its model processes."""
        family = psutil.Process(self._process.pid).children(recursive=True)
        return sum(process.memory_info().rss for process in family if process.is_running())

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said.append(line.strip())
            if line.startswith("ready:"):
                self._ready.set()
        self._ready.set()


def gpu_bytes() -> dict[str, int]:
    """Memory in use on each GPU by its UUID, whoever uses it."""
    try:
        return {gpu.uuid: gpu.total_bytes - gpu.free_bytes for gpu in query_gpus()}
    except DeviceError:
        return {}
