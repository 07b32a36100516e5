"""The servers of a batch: what their names stand for, which has room, which is gone and when it is back."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass

from ..client import HiggsClient
from ..errors import HiggsError, OverloadedError, ServerUnavailableError, StreamStalledError
from ..fleet import addresses_of
from .throttle import Throttle, back_off

STREAMS = 16  # slots of the bundle's smallest target; more wait in the server's queue
RETRIES = 5
LOOK_UP_SECONDS = 30.0  # between two questions for what a name stands for

Connect = Callable[[str, str | None], HiggsClient]  # HOST:PORT, and the name on its certificate if that is another


@dataclass(eq=False)
class Server:
    """One server and what this batch knows of it. address: HOST:PORT, the url itself or what its name stands for."""

    url: str
    address: str
    client: HiggsClient
    throttle: Throttle
    is_lost: bool = False
    failures: int = 0  # to answer, in a row
    back_at: float = 0.0  # seconds on the clock of time.monotonic()


class Servers(AbstractContextManager["Servers"]):
    """Gives each stream a server with room. Safe to use from any thread.

    urls: as a client takes them; a name that stands for several addresses is as many servers, those that come later
    included, whether it is written as dns:///NAME:PORT or not.
    connect: makes the client of one. streams: the most in flight at once on each. retries: how often in a row a lost
    server is tried again before it is given up; when all are, the batch ends.
    Raises what `connect` does.
    """

    def __init__(
        self, urls: Sequence[str], connect: Connect, *, streams: int = STREAMS, retries: int = RETRIES
    ) -> None:
        self._urls = [each.strip().removeprefix("dns:///") for url in urls for each in url.split(",")]
        self._connect = connect
        self._streams = streams
        self._retries = retries
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._servers: dict[str, Server] = {}  # by address
        self._clients: list[HiggsClient] = []  # also of servers that are no longer named
        self._last_error = ""
        for url in self._urls:
            self._add(url, url)

    def start(self) -> None:
        """Look up what the names stand for, now and from time to time."""
        self._look_up()
        threading.Thread(target=self._keep_looking, name="higgs-batch-names", daemon=True).start()

    def acquire(self) -> Server | None:
        """Wait for the server with the most room, and take a place there; None once stopped or gone."""
        with self._changed:
            while not self._stopping.is_set() and self.gone is None:
                free = [server for server in self._servers.values() if not server.is_lost and server.throttle.room > 0]
                if free:
                    server = max(free, key=lambda server: server.throttle.room)
                    server.throttle.start()
                    return server
                self._changed.wait()
        return None

    def release(self, server: Server) -> None:
        """Give the place back."""
        with self._changed:
            server.throttle.end()
            self._changed.notify_all()

    def succeeded(self, server: Server) -> None:
        """Note that a stream was spoken to its end."""
        with self._changed:
            server.throttle.succeeded()
            server.failures = 0
            self._changed.notify_all()

    def failed(self, server: Server, error: HiggsError, began: float) -> bool:
        """Note why a stream failed that began then; whether the item is to blame, and not that server alone."""
        with self._changed:
            if isinstance(error, OverloadedError):
                return not server.throttle.refused()
            if not isinstance(error, ServerUnavailableError | StreamStalledError):
                return True
            if not server.is_lost and began >= server.back_at:
                self._lose(server, error)
            others = any(not each.is_lost for each in self._servers.values())
            return isinstance(error, StreamStalledError) or not others

    @property
    def gone(self) -> ServerUnavailableError | None:
        """The last server's error, once all are given up."""
        with self._changed:
            lost = all(server.is_lost and server.failures > self._retries for server in self._servers.values())
            return ServerUnavailableError(self._last_error) if lost else None

    def stop(self) -> None:
        """Wake every waiting thread."""
        with self._changed:
            self._stopping.set()
            self._changed.notify_all()

    def __exit__(self, *error: object) -> None:
        self.stop()
        for client in self._clients:
            client.close()

    def _add(self, url: str, address: str) -> None:
        client = self._connect(address, None if address == url else url.rpartition(":")[0])
        self._clients.append(client)
        self._servers[address] = Server(url, address, client, Throttle(self._streams))

    def _lose(self, server: Server, error: HiggsError) -> None:
        server.is_lost = True
        if isinstance(error, ServerUnavailableError):
            server.failures += 1 if error.retryable else self._retries + 1
            self._last_error = str(error)
        self._changed.notify_all()
        threading.Thread(target=self._await, args=(server,), name="higgs-batch-lost", daemon=True).start()

    def _await(self, server: Server) -> None:
        """Ask with growing pauses until the server is ready, or no longer named."""
        while not self._stopping.wait(back_off(server.failures)):
            ready = server.client.is_ready()
            with self._changed:
                if self._servers.get(server.address) is not server:
                    return
                server.is_lost, server.back_at = not ready, time.monotonic()
                server.failures += not ready
                self._changed.notify_all()
                if ready:
                    return

    def _keep_looking(self) -> None:
        while not self._stopping.wait(LOOK_UP_SECONDS):
            with suppress(HiggsError, OSError):  # such as a certificate that is being replaced
                self._look_up()

    def _look_up(self) -> None:
        for url in self._urls:
            known = {server.address for server in self._servers.values() if server.url == url}
            named = set(addresses_of(*url.rpartition(":")[::2]))
            if known == {url} and len(named) < 2:
                continue  # by its name, as always
            with self._changed:
                for address in named - self._servers.keys():
                    self._add(url, address)
                for address in known - named:
                    # Some answers name only a few of many: who still answers is still used.
                    if address == url or (named and self._servers[address].is_lost):
                        del self._servers[address]
                self._changed.notify_all()
