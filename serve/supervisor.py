"""Keeping a server up: what has died or hangs is started again, at once and as often as the operator allows."""

from __future__ import annotations

import logging
import time
from typing import NoReturn

from serve.errors import LaunchError
from serve.triton import TritonServer

LOOK_SECONDS = 0.25
STEADY_SECONDS = 10.0  # a server that stayed up for so long starts with a clean slate
LONGEST_PAUSE_SECONDS = 30.0

logger = logging.getLogger(__name__)


class Supervisor:
    """Watches a started server. It restarts everything rather than reloading the one model: the streams that were
    in flight hang, and only a restart tells their clients.

    Args:
        server: a server that has been started.
        timeout: seconds its models may take to load again.
        restarts: how many restarts in a row it may need before it is given up; None never gives up.
    """

    def __init__(self, server: TritonServer, timeout: float, restarts: int | None = None) -> None:
        self._server, self._timeout, self._allowed = server, timeout, restarts
        self._in_a_row = 0

    def watch(self) -> NoReturn:
        """Block until interrupted. Raises LaunchError when the server needs more restarts in a row than allowed."""
        while True:
            up_since = time.monotonic()
            while (ailment := self._server.ailment()) is None:
                time.sleep(LOOK_SECONDS)
            if time.monotonic() - up_since > STEADY_SECONDS:
                self._in_a_row = 0
            self._restart(ailment)

    def _restart(self, ailment: str) -> None:
        """The first attempt comes at once, each further one in a row after a pause twice as long."""
        while True:
            if self._in_a_row == self._allowed:
                raise LaunchError(f"{ailment}; giving up, after --restarts {self._allowed} in a row")
            logger.warning("%s; restarting", ailment)
            self._server.stop(grace=0)  # whoever waits for a process that hangs would never end
            time.sleep(min(2 ** (self._in_a_row - 1), LONGEST_PAUSE_SECONDS) if self._in_a_row else 0)
            self._in_a_row += 1
            try:
                self._server.start(self._timeout)
            except LaunchError as error:
                ailment = str(error)
            else:
                logger.warning("ready again")
                return
