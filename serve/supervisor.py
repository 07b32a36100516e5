"""Keeps a server up: when a model process dies, it restarts everything, but not forever."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import NoReturn

from serve.errors import LaunchError
from serve.triton import TritonServer

LOOK_SECONDS = 2.0
MAX_RESTARTS_PER_MINUTE = 3

logger = logging.getLogger(__name__)


class Supervisor:
    """Watches a started server. It restarts everything rather than reloading the one model: the streams that were
    in flight hang, and only a restart tells their clients.

    Args:
        server: a server that has been started.
        timeout: seconds its models may take to load again.
    """

    def __init__(self, server: TritonServer, timeout: float) -> None:
        self._server, self._timeout = server, timeout
        self._restarts: deque[float] = deque(maxlen=MAX_RESTARTS_PER_MINUTE)

    def watch(self) -> NoReturn:
        """Block until interrupted. Raises LaunchError when the server keeps dying or does not start again."""
        while True:
            time.sleep(LOOK_SECONDS)
            ailment = self._server.ailment()
            if ailment is not None:
                self._restart(ailment)

    def _restart(self, ailment: str) -> None:
        now = time.monotonic()
        if len(self._restarts) == MAX_RESTARTS_PER_MINUTE and now - self._restarts[0] < 60:
            raise LaunchError(f"{ailment}, after {MAX_RESTARTS_PER_MINUTE} restarts within a minute; giving up")
        self._restarts.append(now)
        logger.warning("%s; restarting", ailment)
        self._server.stop()
        self._server.start(self._timeout)
        logger.warning("ready again")
