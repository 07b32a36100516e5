"""Keeping a server up: what has died or hangs is started again, at once and as often as the operator allows."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NoReturn

from serve.drain import Drain, drain
from serve.errors import DeviceError, LaunchError
from serve.repository_api import FAILURES
from serve.triton import TritonServer

LOOK_SECONDS = 0.25
STEADY_SECONDS = 10.0  # a server that stayed up for so long starts with a clean slate
LONGEST_PAUSE_SECONDS = 30.0
# Before the first way back from the fallback, which cuts nothing but costs new requests a restart; doubled each time.
BACK_SECONDS, MOST_BACK_SECONDS = 60.0, 3600.0
LINGER_SECONDS, LEAVE_SECONDS = (
    2.0,
    600.0,
)  # for the streams of a server beside which a newer one serves: nobody waits for them

logger = logging.getLogger(__name__)


class Supervisor:
    """Starts a server and watches it. Where streams pass the model that ails, it restarts everything rather than
    loading that one again: the streams that were in flight hang, and only a restart tells their clients.

    With a fallback, that one serves while no GPU will do for the first; from time to time the first is tried again. A
    newer server takes over from the first: while that one's streams end, where the memory suffices for both.

    Args:
        first: the server that should serve.
        fallback: the one that serves when the first's device fails.
        timeout: seconds the models may take to load.
        restarts: how many restarts in a row may be needed before it is given up; None never gives up.
        drain_seconds: how long streams may take to finish before another server takes this one's place.
        back_seconds: how long the fallback serves before the first is tried again.
    """

    def __init__(
        self,
        first: TritonServer,
        fallback: TritonServer | None,
        timeout: float,
        restarts: int | None = None,
        drain_seconds: float = 0.0,
        back_seconds: float = BACK_SECONDS,
    ) -> None:
        self._first, self._fallback = first, fallback
        self._timeout, self._allowed = timeout, restarts
        self._drain_seconds, self._back_seconds = drain_seconds, back_seconds
        self._in_a_row = 0
        self._back_at = 0.0  # while the fallback serves
        self._leaving: tuple[TritonServer, Drain] | None = None
        self.server = first

    def start(self) -> None:
        """Raises LaunchError: the server cannot start, neither it nor its fallback, or there is no such fallback."""
        if self._fallback is not None:
            self._fallback.check()  # not only when it is needed
        try:
            self.server.start(self._timeout)
        except DeviceError as error:
            if self._fallback is None:
                raise
            self._fall_back(error)

    def watch(self, newer: Callable[[], TritonServer | None] = lambda: None) -> NoReturn:
        """Block until interrupted. newer: a server that is to take over now, if any.

        Raises LaunchError when more restarts in a row are needed than allowed.
        """
        while True:
            up_since = time.monotonic()
            while (ailment := self.server.ailment()) is None:
                time.sleep(LOOK_SECONDS)
                if self.server is self._fallback and time.monotonic() >= self._back_at:
                    self._go_back(self._fallback)
                if self._leaving is not None and self._leaving[1].is_over():
                    self._end_leaving()
                if (fresh := newer()) is not None:
                    self._change(fresh)
            if time.monotonic() - up_since > STEADY_SECONDS:
                self._in_a_row = 0
            if self.server.heal():
                logger.warning("%s; loaded it again, speech went on", ailment)
            else:
                self._restart(ailment)

    def stop(self) -> float:
        """Stop all servers; returns the seconds that it took."""
        self._end_leaving()
        return self.server.stop()

    def _change(self, fresh: TritonServer) -> None:
        """Serve a newer bundle: what cannot be served leaves the old one."""
        self._end_leaving()
        old = self.server
        if old is self._fallback:  # it is tried when the first would have been
            self._first = fresh
            return
        try:
            beside = fresh.fits_beside(old)
            how = "beside the old one" if beside else "after it: the memory is too small for both"
            logger.warning("changing over to %s, %s", fresh.bundle, how)
            if beside:
                self._change_beside(old, fresh)
            else:
                self._change_after(old, fresh)
        except (LaunchError, *FAILURES) as error:
            logger.warning("%s; still serving %s", error, self.server.bundle)
        else:
            logger.warning("ready again")

    def _change_beside(self, old: TritonServer, fresh: TritonServer) -> None:
        draining = Drain(old.access, old.ailment)
        fresh.start(self._timeout, beside=old)
        self.server = self._first = fresh
        self._leaving = old, draining
        draining.begin(LEAVE_SECONDS, least=LINGER_SECONDS)

    def _change_after(self, old: TritonServer, fresh: TritonServer) -> None:
        if not drain(old.access, self._drain_seconds, old.ailment):
            logger.warning("not all streams ended within --drain %g s", self._drain_seconds)
        old.stop()
        try:
            fresh.start(self._timeout)
            self.server = self._first = fresh
        except LaunchError as error:
            self._restart(str(error))

    def _end_leaving(self) -> None:
        if self._leaving is not None:
            server, draining = self._leaving
            self._leaving = None
            if not draining.emptied:
                logger.warning("streams of %s are cut", server.bundle)
            server.stop()

    def _restart(self, ailment: str) -> None:
        """The first attempt comes at once, each further one in a row after a pause twice as long."""
        while True:
            if self._in_a_row == self._allowed:
                raise LaunchError(f"{ailment}; giving up, after --restarts {self._allowed} in a row")
            logger.warning("%s; restarting", ailment)
            self._end_leaving()  # it has the ports, too
            self.server.stop(grace=0)  # whoever waits for a process that hangs would never end
            time.sleep(min(2 ** (self._in_a_row - 1), LONGEST_PAUSE_SECONDS) if self._in_a_row else 0)
            self._in_a_row += 1
            try:
                self._start_again()
            except LaunchError as error:
                ailment = str(error)
            else:
                logger.warning("ready again")
                return

    def _start_again(self) -> None:
        """Start the server; its fallback, when anything keeps a bundle that ran on a GPU from starting there again."""
        try:
            self.server.start(self._timeout)
        except LaunchError as error:
            if self._fallback in (None, self.server) or not self._first.gpus:
                raise
            self._fall_back(error)

    def _fall_back(self, error: LaunchError) -> None:
        assert self._fallback is not None
        logger.warning("%s; serving %s instead, as --fallback says", error, self._fallback.bundle)
        self.server = self._fallback
        self._wait_to_go_back()
        self.server.start(self._timeout)

    def _wait_to_go_back(self) -> None:
        self._back_at = time.monotonic() + self._back_seconds
        self._back_seconds = min(2 * self._back_seconds, MOST_BACK_SECONDS)

    def _go_back(self, fallback: TritonServer) -> None:
        """Serve the first bundle again if there is a GPU for it; the streams of the fallback end first."""
        try:
            self._first.check()
        except LaunchError:  # not yet; the fallback went on speaking
            self._wait_to_go_back()
            return
        logger.warning("there is a GPU for %s again; going back to it", self._first.bundle)
        if not drain(fallback.access, self._drain_seconds, fallback.ailment):
            logger.warning("not all streams of the fallback ended within --drain %g s", self._drain_seconds)
        fallback.stop()
        self.server = self._first
        try:
            self._start_again()
        except LaunchError as error:
            self._restart(str(error))
        else:
            logger.warning("ready again")
