"""A real Triton on loopback that serves the stand-in repository."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from serve.installation import Installation, find_installation
from serve.lifetime import ending_with_its_starter

from .repository import write_repository

ROOT = Path(__file__).parents[3]
FIND = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from serve.installation import find_installation
print(json.dumps(asdict(find_installation(Path(sys.argv[1]))), default=str))
"""


class StandInServer:
    """Starts on construction and returns when ready; `stop()` ends it and tells how long that took.

    host: an address of this machine's loopback. grpc_port: None for any that is free.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1", grpc_port: int | None = None) -> None:
        self._folder = folder
        self.events_file = folder / "events.jsonl"
        self.events_file.touch()
        write_repository(folder / "models", self.events_file)
        self._triton = _installation(folder)
        free_port, self.http_port = _free_ports(2)
        self.host, self.grpc_port = host, grpc_port or free_port
        self.url = f"{self.host}:{self.grpc_port}"
        self.start()

    def start(self) -> None:
        """Start, also again after a stop; returns when every model is ready."""
        with (self._folder / "triton.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command(),
                env=self._triton.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=ending_with_its_starter(),  # noqa: PLW1509  (an interrupted run leaves no Triton behind)
            )
        self._wait_until_ready()

    def log(self) -> str:
        return (self._folder / "triton.log").read_text()

    def _command(self) -> list[str]:
        backends = self._triton.backends
        return [
            str(self._triton.executable), *([f"--backend-directory={backends}"] if backends else []),
            f"--model-repository={self._folder / 'models'}", "--disable-auto-complete-config",
            f"--grpc-address={self.host}", f"--grpc-port={self.grpc_port}",
            "--http-address=127.0.0.1", f"--http-port={self.http_port}", "--allow-metrics=false",
        ]  # fmt: skip

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/v2/health/ready", timeout=1)
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        self.kill()
        raise RuntimeError(f"Triton did not get ready:\n{self.log()[-3000:]}")

    def events(self, request_id: str | None = None) -> list[dict[str, Any]]:
        """What the stand-in LM noted so far, of one request or of all."""
        lines = self.events_file.read_text().splitlines()
        notes = [json.loads(line) for line in lines]
        return [note for note in notes if request_id in (None, note["id"])]

    def live(self) -> int:
        """Number of streams the LM has alive."""
        notes = self.events()
        return notes[-1]["live"] if notes else 0

    def wait_for(self, request_id: str, event: str, seconds: float = 5.0) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while True:
            for note in self.events(request_id):
                if note["event"] == event:
                    return note
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        raise AssertionError(f"no {event!r} for {request_id} in {seconds} s: {self.events(request_id)}")

    def stub_pid(self, model: str) -> int:
        """Process id of the Python backend stub that runs `model`."""
        for status in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = status.read_bytes().split(b"\0")
                group = os.getpgid(int(status.parent.name))
            except (OSError, ProcessLookupError):
                continue
            model_file = f"/models/{model}/1/model.py".encode()
            if group == self.process.pid and any(word.endswith(model_file) for word in words):
                return int(status.parent.name)
        raise AssertionError(f"no stub runs {model}")

    def stop(self, patience: float = 10.0) -> float:
        """End politely; return the seconds it took. Raises TimeoutExpired when `patience` is over."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(patience)
        finally:
            self.kill()
        return time.monotonic() - started

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def _installation(folder: Path) -> Installation:
    """The Triton of this Python or, where the client is tested alone, that of the Python named in the environment."""
    python = os.environ.get("STANDIN_PYTHON")
    if python is None:
        return find_installation(folder)
    found = json.loads(subprocess.check_output([python, "-c", FIND, str(folder)], cwd=ROOT))
    found["executable"] = Path(found["executable"])
    return Installation(**found)
