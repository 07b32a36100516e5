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
    """A server on free ports."""

    def __init__(self, python: str, bundle: Path, options: list[str] | None = None) -> None:
        self._ports = Ports.free()
        ports = self._ports
        self._command = [python, "-u", "-m", "serve", str(bundle.absolute())]
        self._command += [f"--http-port={ports.http}", f"--grpc-port={ports.grpc}", f"--metrics-port={ports.metrics}"]
        self._command += options or []
        self._process: subprocess.Popen[str] | None = None
        self._said: list[str] = []
        self._ready = threading.Event()
        self.start_seconds = 0.0

    @property
    def grpc_url(self) -> str:
        return f"127.0.0.1:{self._ports.grpc}"

    @property
    def metrics_url(self) -> str:
        return f"127.0.0.1:{self._ports.metrics}"

    def start(self) -> ServedBundle:
        """Start and wait until it says that it is ready. Raises ServeError with its last line."""
        started = time.monotonic()
        self._process = subprocess.Popen(
            self._command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()
        self._ready.wait(START_SECONDS)
        if not any(line.startswith("ready:") for line in self._said):
            self.stop()
            raise ServeError(self._said[-1] if self._said else "the server said nothing")
        self.start_seconds = time.monotonic() - started
        return self

    def stop(self) -> tuple[float, int]:
        """Stop it as Ctrl-C does; returns the seconds it took and its exit code."""
        if self._process is None:
            return 0.0, 0
        process, self._process = self._process, None
        started = time.monotonic()
        process.terminate()
        try:
            code = process.wait(4 * STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        return time.monotonic() - started, code

    @property
    def said(self) -> list[str]:
        """Its lines so far: among them every restart of a model that died."""
        return list(self._said)

    def memory_bytes(self) -> int:
        """Resident memory of Triton and its model processes."""
        if self._process is None:
            return 0
        family = psutil.Process(self._process.pid).children(recursive=True)
        return sum(process.memory_info().rss for process in family if process.is_running())

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._said.append(line.strip())
            if line.startswith("ready:"):
                self._ready.set()
        self._ready.set()


def gpu_bytes() -> dict[str, int]:
    """Memory in use on each GPU by its UUID, whoever uses it."""
    try:
        return {gpu.uuid: gpu.total_bytes - gpu.free_bytes for gpu in query_gpus()}
    except DeviceError:
        return {}
