"""The processes of one running Triton: the server, and one for every instance of a Python model."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil

_LOOK_SECONDS = 0.01
_END_SECONDS = 2.0  # for killed processes to be gone; what the kernel does not let go of meanwhile is not waited for
STUB = "triton_python_backend_stub"  # the executable of a Python model's process


class Processes:
    """Watches the processes of a server that was started as the leader of its own process group.

    Args:
        server: process id of the server, once all its models are loaded.
    """

    def __init__(self, server: int) -> None:
        self._server = psutil.Process(server)
        stubs = [process for process in self._server.children() if _executable(process) == STUB]
        self._models = [(_model(process), process) for process in stubs]

    def ailment(self) -> str | None:
        """Which process has ended or been stopped since the server became ready, in words; None when all run."""
        states = {"the server process": _state(self._server)}
        states |= {f"the process of model {name}": _state(process) for name, process in self._models}
        for state in ("ended", "been stopped"):
            if names := [name for name, found in states.items() if found == state]:
                return f"{' and '.join(names)} has {state}"
        return None

    def ailing(self) -> set[str]:
        """The models whose processes do not run."""
        return {name for name, process in self._models if _state(process) != "runs"}

    def kill(self, model: str) -> None:
        """Kill the processes of a model."""
        for name, process in self._models:
            if name == model:
                with suppress(psutil.NoSuchProcess):
                    process.kill()

    def processor_seconds(self) -> dict[str, float]:
        """What each model's process has used of the processor so far, and the server's own, as `triton`."""
        found: dict[str, float] = {}
        for name, process in [("triton", self._server), *self._models]:
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                found[name] = found.get(name, 0.0) + times.user + times.system
        return found

    def listeners(self, port: int) -> list[tuple[int, str]]:
        """Family and address of the server's sockets that wait for connections on a port; none once it has ended."""
        try:
            found = [one for one in self._server.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
        except psutil.Error:
            return []
        return [(one.family, one.laddr.ip) for one in found if one.laddr.port == port]

    def memory_bytes(self) -> int:
        """Resident memory of the server and everything it started."""
        total = 0
        with suppress(psutil.NoSuchProcess):
            for process in [self._server, *self._server.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    total += process.memory_info().rss
        return total


def kill_group(leader: int) -> None:
    """Kill what is left of the process group that `leader` started, whether or not the leader itself still runs.

    Returns when its processes have let go of what they held: the log, shared memory, a GPU's memory.
    """
    left = [process for process in psutil.process_iter() if _group(process) == leader]
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
    deadline = time.monotonic() + _END_SECONDS
    while not all(map(_holds_nothing, left)) and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)


def _holds_nothing(process: psutil.Process) -> bool:
    """Whether it has ended to its last thread. Who must read how it ended may not have done so yet: that takes seconds
    where the machine's first process is slow to, as in some containers.
    """
    try:
        return _state(process) == "ended" and process.num_threads() <= 1
    except psutil.Error:
        return True


def _group(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None


def _executable(process: psutil.Process) -> str:
    try:
        return Path(process.cmdline()[0]).name
    except (psutil.NoSuchProcess, IndexError):
        return ""


def _model(stub: psutil.Process) -> str:
    # Its first argument is <repository>/<model>/<version>/model.py.
    try:
        return Path(stub.cmdline()[1]).parts[-3]
    except (psutil.NoSuchProcess, IndexError):
        return "unknown"


def _state(process: psutil.Process) -> str:
    try:
        status = process.status() if process.is_running() else psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        status = psutil.STATUS_ZOMBIE
    if status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP):
        return "been stopped"
    return "ended" if status in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD) else "runs"
