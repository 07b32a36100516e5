"""Keeping a server up: when a model process dies, start everything again, but not for ever."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from pathlib import Path

from serve.errors import LaunchError
from serve.triton import Ports, TritonServer

LOOK_SECONDS = 2.0
MAX_RESTARTS_PER_MINUTE = 3

logger = logging.getLogger(__name__)


class Supervisor:
    """Runs a TritonServer in the foreground until told to stop. Raises LaunchError as TritonServer does."""

    def __init__(self, bundle: Path, ports: Ports, host: str = "127.0.0.1", verify: bool = False) -> None:
        self.server = TritonServer(bundle, ports, host, verify)
        self._stopping = threading.Event()
        self._restarts: deque[float] = deque(maxlen=MAX_RESTARTS_PER_MINUTE)

    def start(self) -> None:
        """Start the server and return when it is ready."""
        self.server.start()

    def watch(self) -> None:
        """Block until stop() is called. Raises LaunchError when the server keeps dying."""
        while not self._stopping.wait(LOOK_SECONDS):
            ailment = self.server.ailment()
            if ailment is not None:
                self._restart(ailment)

    def stop(self) -> None:
        """End watch(); safe to call from a signal handler."""
        self._stopping.set()

    def close(self) -> float:
        """Stop the server; returns the seconds it took."""
        return self.server.stop()

    def _restart(self, ailment: str) -> None:
        now = time.monotonic()
        if len(self._restarts) == MAX_RESTARTS_PER_MINUTE and now - self._restarts[0] < 60:
            raise LaunchError(f"{ailment}, after {MAX_RESTARTS_PER_MINUTE} restarts within a minute; giving up")
        self._restarts.append(now)
        logger.warning("%s; restarting", ailment)
        self.server.stop()
        self.server.start()
        logger.warning("ready again")
