"""One running Triton over a bundle: started, watched until ready, stopped without leaving anything behind."""

from __future__ import annotations

import ctypes
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import psutil

from serve.errors import LaunchError
from serve.installation import find_installation
from serve.manifest import check_bundle

STOP_SECONDS = 8.0  # for a clean stop, after which the processes are killed
_STUB = "triton_python_b"  # the kernel's name of the Python backend's processes, which it cuts at 15 letters
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Ports:
    """Where the server listens."""

    http: int = 8000
    grpc: int = 8001
    metrics: int = 8002

    @classmethod
    def free(cls) -> Ports:
        """Three ports nobody uses at the moment."""
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(3)]
            for one in sockets:
                one.bind(("127.0.0.1", 0))
            return cls(*(one.getsockname()[1] for one in sockets))

    def refuse_if_taken(self, host: str) -> None:
        """Raise LaunchError for the first port that somebody listens on."""
        for name, port in asdict(self).items():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((host, port))
                except OSError as error:
                    raise LaunchError(
                        f"port {port} of {host} is taken ({error.strerror}); is another server running? "
                        f"Choose another one with --{name}-port"
                    ) from error


class TritonServer:
    """A Triton process and its model processes. Use as a context manager, or call start() and stop().

    Args:
        bundle: folder with manifest.json and model_repository/.
        ports: where to listen; free ones by default.
        host: address to listen on.
        verify: compare every file's hash with the manifest before starting.
    """

    def __init__(self, bundle: Path, ports: Ports | None = None, host: str = "127.0.0.1", verify: bool = False) -> None:
        self._bundle, self._host, self._verify = bundle, host, verify
        self.ports = ports or Ports.free()
        self.log = bundle / "triton.log"
        self._scratch: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._models = 0

    @property
    def grpc_url(self) -> str:
        return f"{self._host}:{self.ports.grpc}"

    @property
    def http_url(self) -> str:
        return f"{self._host}:{self.ports.http}"

    @property
    def metrics_url(self) -> str:
        return f"{self._host}:{self.ports.metrics}"

    def start(self, timeout: float = 120.0) -> TritonServer:
        """Start and wait until every model is ready.

        Raises LaunchError: the bundle does not fit this machine, a port is taken, or a model failed to load.
        """
        repository = check_bundle(self._bundle, self._verify)
        self.ports.refuse_if_taken(self._host)
        self._scratch = Path(tempfile.mkdtemp(prefix="triton-"))
        try:
            self._launch(repository)
            self._wait_until_ready(timeout)
        except BaseException:
            self.stop()
            raise
        self._models = len(self._stubs())
        return self

    def stop(self) -> float:
        """Stop everything, by force if it does not stop by itself; returns the seconds it took."""
        started = time.monotonic()
        if self._process is not None:
            family = _family(self._process.pid)
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            for process in psutil.wait_procs(family, timeout=1.0)[1]:
                process.kill()
            self._process = None
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None
        return time.monotonic() - started

    def ailment(self) -> str | None:
        """What is wrong with the running server, or None.

        Triton neither restarts a model process that died nor says so on its health endpoint.
        """
        if self._process is None or self._process.poll() is not None:
            return "the server process has ended"
        missing = self._models - len(self._stubs())
        return f"{missing} of {self._models} model processes have died" if missing > 0 else None

    def memory_bytes(self) -> int:
        """Resident memory of the server and its model processes."""
        total = 0
        for process in _family(self._process.pid) if self._process else []:
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total

    def __enter__(self) -> TritonServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self, repository: Path) -> None:
        assert self._scratch is not None
        triton = find_installation(self._scratch)
        command = [str(triton.executable), f"--model-repository={repository}"]
        command += [f"--backend-directory={triton.backends}"] if triton.backends else []
        for service in ("http", "grpc", "metrics"):
            command += [f"--{service}-address={self._host}", f"--{service}-port={getattr(self.ports, service)}"]
        # Complete configs make completing them a waste of seconds; the metrics interval follows ours.
        command += ["--disable-auto-complete-config", "--metrics-interval-ms=250", "--exit-timeout-secs=5"]
        libc = ctypes.CDLL(None)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=triton.environment,
                start_new_session=True,  # Ctrl-C is for us, who then stop it in order
                # Nothing outlives its launcher. One system call, resolved beforehand: safe even beside threads.
                preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),  # noqa: PLW1509
            )

    def _wait_until_ready(self, timeout: float) -> None:
        assert self._process is not None
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise LaunchError(f"Triton stopped while starting: {_reason(self.log)} (all of it: {self.log})")
            if _is_ready(self.http_url):
                return
            time.sleep(0.05)
        raise LaunchError(f"Triton was not ready within {timeout:.0f} s: {_reason(self.log)} (all of it: {self.log})")

    def _stubs(self) -> list[psutil.Process]:
        assert self._process is not None
        return [p for p in _family(self._process.pid) if _name(p).startswith(_STUB) and _alive(p)]


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{url}/v2/health/ready", timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _reason(log: Path) -> str:
    """The most telling line of Triton's log: what a model or the server itself complained about."""
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    complaints = [line for line in lines if re.match(r"E\d{4} ", line) or "UNAVAILABLE" in line]
    chosen = (complaints or [line for line in lines if line.strip()] or ["it printed nothing"])[0]
    return re.sub(r"^[EWI]\d{4} [\d:.]+ \d+ ", "", chosen).strip().strip('"|')[:600]
