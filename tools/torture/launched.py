"""`python -m serve` as users run it, and what its processes hold."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import psutil
from higgs_tts import GenerationParams, HiggsClient, HiggsError

from serve.ports import Ports
from serve.processes import STUB

READY_SECONDS = 180.0
_TRITON = "tritonserver"


class Launched(AbstractContextManager["Launched"]):
    """A launcher with its server on free ports. Its own lines go to `log`."""

    def __init__(self, bundle: Path, log: Path) -> None:
        self._ports = Ports.free()
        ports = (f"--{kind}-port={getattr(self._ports, kind)}" for kind in ("http", "grpc", "metrics"))
        with log.open("w") as lines:
            command = [sys.executable, "-u", "-m", "serve", str(bundle), "--gateway=off", *ports]
            self._process = subprocess.Popen(command, stdout=lines, stderr=subprocess.STDOUT)
        self.grpc_url = f"127.0.0.1:{self._ports.grpc}"
        self.http = ("127.0.0.1", self._ports.http)
        self.grpc = ("127.0.0.1", self._ports.grpc)
        try:
            self.until_it_speaks()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def until_it_speaks(self) -> float:
        """Seconds until a new client hears something, however often it has to ask.

        Raises RuntimeError: the launcher has ended. TimeoutError: nobody was heard.
        """
        started = time.monotonic()
        while time.monotonic() - started < READY_SECONDS:
            if self._process.poll() is not None:
                raise RuntimeError("the launcher has ended; see its log")
            with suppress(HiggsError), HiggsClient(self.grpc_url) as client:
                with client.stream("Hello.", params=GenerationParams(max_seconds=1.0), timeout=10.0) as stream:
                    next(stream)
                return time.monotonic() - started
            time.sleep(0.05)
        raise TimeoutError(f"the server was silent for {READY_SECONDS:.0f} s; see its log")

    def processes(self) -> dict[str, psutil.Process]:
        """Triton and each model's process, by name."""
        found = {}
        for process in psutil.Process(self._process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess, IndexError):
                words = process.cmdline()
                program = Path(words[0]).name
                if program == STUB:
                    found[Path(words[1]).parts[-3]] = process
                elif program == _TRITON:
                    found[_TRITON] = process
        return found

    def holds(self) -> tuple[int, int]:
        """(resident bytes, open descriptors) of all of them together."""
        memory = descriptors = 0
        for process in self.processes().values():
            with suppress(psutil.NoSuchProcess):
                memory += process.memory_info().rss
                descriptors += process.num_fds()
        return memory, descriptors
