"""The gateway beside Triton: a process of its own, started again when it dies, and gone when its launcher is.

It knows Triton by its gRPC address alone, so it stays up while Triton is restarted or replaced by a fallback.
"""

from __future__ import annotations

import errno
import logging
import os
import shlex
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

from serve.access import KEY_VARIABLE, Access
from serve.errors import LaunchError
from serve.lifetime import Guard
from serve.ports import ANY, HIGHEST, LOOPBACK
from serve.pythons import ROOT, python_with

OFF = "off"
ADDRESS = f"{LOOPBACK}:8080"
START_SECONDS = 60.0  # to import its libraries on a busy machine
STEADY_SECONDS = 10.0  # a gateway that stayed up for so long starts with a clean slate
LONGEST_PAUSE_SECONDS = 30.0
LOOK_SECONDS, HANG_SECONDS = 5.0, 30.0  # how often it is asked whether it runs, and how long it may say nothing
_LOOK_SECONDS = 0.05
_PACKAGES = ("av", "fastapi", "higgs_tts", "uvicorn", "websockets", "wyoming")

logger = logging.getLogger(__name__)


class Gateway:
    """`python -m gateway`, watched by a thread.

    Args:
        address: HOST:PORT where it listens.
        python: an interpreter that has its packages.
        arguments: what it is told, beside where it listens.
    """

    def __init__(self, address: str, python: str, arguments: list[str]) -> None:
        self._host, self._port = parse_address(address)
        self._command = [python, "-m", "gateway", "--host", self._host, "--port", str(self._port), *arguments]
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()  # so that none begins once it is to stop

    @property
    def url(self) -> str:
        """HOST:PORT by which this machine reaches it."""
        host = {ANY: LOOPBACK, "::": "::1"}.get(self._host, self._host)
        return f"[{host}]:{self._port}" if ":" in host else f"{host}:{self._port}"

    def start(self) -> None:
        """Start it. Raises LaunchError: its port is taken."""
        self._refuse_if_taken()
        self._begin()

    def watch(self) -> None:
        """Wait until it listens, and start it again from then on. Raises LaunchError: it refuses its options."""
        deadline = time.monotonic() + START_SECONDS
        while not self._listens():
            if self._process is None or self._process.poll() is not None:
                raise LaunchError(f"the gateway did not start, for the reason it gave; --gateway {OFF} leaves it out")
            if time.monotonic() > deadline:
                raise LaunchError(
                    f"the gateway did not listen within {START_SECONDS:g} s; --gateway {OFF} leaves it out"
                )
            time.sleep(_LOOK_SECONDS)
        threading.Thread(target=self._keep, name="gateway", daemon=True).start()

    def drain(self) -> None:
        """Let it take no more requests and end with the last that runs, or when the seconds of its --drain are over."""
        with self._lock:
            self._stopping.set()
            if self._process is not None:
                self._process.terminate()

    def stop(self, grace: float = 0.0) -> bool:
        """End it, by force if it has not ended within `grace` seconds; returns whether it ended by itself."""
        self.drain()
        if self._process is None or self._guard is None:
            return True
        try:
            self._process.wait(max(0.0, grace))
            return True
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False
        finally:
            self._guard.dismiss()
            self._process = self._guard = None

    def _keep(self) -> None:
        """The first restart comes at once, each further one in a row after a pause twice as long."""
        in_a_row = 0
        while (process := self._process) is not None:
            up_since = time.monotonic()
            what = self._until_it_ends(process)
            if time.monotonic() - up_since > STEADY_SECONDS:
                in_a_row = 0
            if self._stopping.wait(min(2 ** (in_a_row - 1), LONGEST_PAUSE_SECONDS) if in_a_row else 0):
                return
            in_a_row += 1
            logger.warning("the gateway %s; restarting it", what)
            while not self._begun():
                if self._stopping.wait(LONGEST_PAUSE_SECONDS):
                    return

    def _begun(self) -> bool:
        """Begin it; False when the machine has no room for another process now."""
        try:
            self._begin()
        except OSError as error:
            logger.warning("the gateway cannot be started (%s); trying again", error.strerror or error)
            return False
        return True

    def _until_it_ends(self, process: subprocess.Popen[bytes]) -> str:
        """Wait; one that says nothing for HANG_SECONDS is killed. Returns what happened to it."""
        answered_at = time.monotonic()
        while True:
            try:
                process.wait(LOOK_SECONDS)
                return "has ended"
            except subprocess.TimeoutExpired:
                pass
            if self._answers():
                answered_at = time.monotonic()
            elif time.monotonic() - answered_at > HANG_SECONDS and not self._stopping.is_set():
                process.kill()
                process.wait()
                return "hangs"

    def _answers(self) -> bool:
        """Whether anything comes back, be it the refusal of one that encrypts, or of its machine."""
        try:
            with self._connected(LOOK_SECONDS) as connection:
                connection.sendall(b"GET /health/live HTTP/1.0\r\n\r\n")
                connection.recv(1)
        except TimeoutError:
            return False
        except OSError:
            pass
        return True

    def _begin(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name != KEY_VARIABLE}
        paths = [str(ROOT), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        with self._lock:
            if self._stopping.is_set():
                return
            if self._guard is not None:
                self._guard.dismiss()
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                env=environment,
                umask=0o077,  # consents are no other user's
                start_new_session=True,  # Ctrl-C is for us, who then stop it in order
            )
            self._guard = Guard(self._process.pid)

    def _listens(self) -> bool:
        with suppress(OSError), self._connected(1):
            return True
        return False

    def _connected(self, timeout: float) -> socket.socket:
        host, _, port = self.url.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), timeout)

    def _refuse_if_taken(self) -> None:
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise LaunchError(f"--gateway: {self._host} is no address of this machine; give one that is") from None
        family, kind, protocol, _, place = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(place)
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    raise LaunchError(
                        f"--gateway: {self._host} is no address of this machine; give one that is"
                    ) from None
                raise LaunchError(
                    f"cannot listen on port {self._port} of {self._host} ({error.strerror}); if another server is "
                    f"running there, choose another port with --gateway HOST:PORT, or {OFF}"
                ) from error


def make_gateway(address: str, options: str, access: Access, state: Path | None, drain: float) -> Gateway | None:
    """The gateway of a server, not started yet; None, with a line that says so, where its packages are missing.

    options: more of its own options, as one would type them; they come last and count. state: a folder that can be
    written. drain: seconds that running speeches may take to end. Raises LaunchError: the server asks for a certificate
    that the gateway does not have.
    """
    try:
        own = shlex.split(options)
    except ValueError as error:
        raise LaunchError(f"--gateway-options is {options!r}, which is no list of words ({error})") from None
    python = python_with(_PACKAGES)
    if python is None:
        logger.warning("the gateway's packages are missing; serving without it (make setup installs them)")
        return None
    arguments = ["--triton", access.url("grpc"), "--drain", f"{drain:g}"]
    if state is not None:
        arguments += ["--consents", str(state.absolute() / "consents")]
    if access.tls is not None:
        arguments += ["--triton-root", str(access.tls.certificate.absolute())]
        if access.tls.client_ca is not None and not any(word.startswith("--triton-cert") for word in own):
            raise LaunchError(
                "with --tls-client-ca the gateway needs a certificate too: "
                f"--gateway-options '--triton-cert PEM --triton-key PEM', or --gateway {OFF}"
            )
    return Gateway(address, python, arguments + own)


def parse_address(word: str) -> tuple[str, int]:
    """Host and port of HOST:PORT. Raises LaunchError."""
    host, _, port = word.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= HIGHEST:
        raise LaunchError(f"--gateway is {word!r}; it is HOST:PORT, such as {ADDRESS}, or {OFF}")
    return host.removeprefix("[").removesuffix("]"), int(port)
