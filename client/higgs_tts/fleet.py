"""The servers behind one client: each stream is spoken by one of them, and goes to another when that one leaves it.

gRPC's own `round_robin` spreads single calls, and would send the message that cancels a stream to a server that does
not speak it. So every server has a connection of its own.
"""

import random
import re
import socket
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

from tritonclient.grpc import InferResult

from .connection import HIGHEST_PORT, Connection, ServerDescription
from .errors import ServerUnavailableError

T = TypeVar("T")

LOOK_SECONDS = 1.0  # between two looks at servers that did not answer
RESOLVE_SECONDS = 10.0  # between two looks at what addresses a name has
DNS = re.compile(r"dns:///(?P<name>[^\s:/?#@\[\]]+):(?P<port>[0-9]{1,5})")


class Fleet:
    """Safe to use from any thread.

    url: HOST:PORT; several, with commas between them or as a sequence; or dns:///NAME:PORT, all addresses of a name,
    which is asked again every ten seconds. connect: makes the connection to an address; of a name, with the name that
    the server's certificate must have.
    """

    def __init__(self, url: str | Sequence[str], connect: Callable[[str, str | None], Connection]) -> None:
        self._url = url if isinstance(url, str) else ",".join(url)
        self._connect = connect
        self._lock = threading.Lock()
        self._silent: set[Connection] = set()  # did not answer when they were last asked
        self._retired: list[Connection] = []  # have lost their address, and may still speak
        self._closing = threading.Event()
        self._name = DNS.fullmatch(self._url)
        is_name = self._name is not None and 0 < int(self._name["port"]) <= HIGHEST_PORT
        if "dns://" in self._url and not is_name:
            raise ServerUnavailableError(
                f"{self._url!r} is not one dns:///NAME:PORT, nor addresses as HOST:PORT.", retryable=False
            )
        self._resolved_at = time.monotonic()
        addresses = addresses_of(**self._name.groupdict()) if self._name else self._url.split(",")
        self._servers = {address: self._connected(address) for address in map(str.strip, addresses)}
        if self._name or len(self._servers) > 1:
            threading.Thread(target=self._look, name="higgs-fleet", daemon=True).start()

    def route(self, but: Collection[Connection] = ()) -> Connection:
        """The server for a new stream: of those that answer the one with fewest of this client's.

        but: the last to be taken. Raises ServerUnavailableError where a name has no address.
        """
        with self._lock:
            servers = list(self._servers.values())
        if not servers:
            raise ServerUnavailableError(f"No server is behind {self._url} now.")
        return min(servers, key=lambda one: (one in but, one in self._silent, one.streams, random.random()))

    def has_more(self, but: Collection[Connection]) -> bool:
        """Whether another server than these answers, as far as is known."""
        with self._lock:
            return any(one not in but and one not in self._silent for one in self._servers.values())

    def fell_silent(self, server: Connection) -> None:
        """Note that a server did not answer. It gets no new streams until it does, if there are others."""
        with self._lock:
            if len(self._servers) > 1:
                self._silent.add(server)

    def ask(self, request: Any, timeout: float) -> InferResult:
        """As `Connection.ask`, of any server."""
        return self._answer(lambda server: server.ask(request, timeout))

    def _answer(self, question: Callable[[Connection], T]) -> T:
        """What one server answers; the next is asked where one does not. Raises HiggsError."""
        tried: set[Connection] = set()
        while True:
            server = self.route(tried)
            try:
                return question(server)
            except ServerUnavailableError as error:
                self.fell_silent(server)
                tried.add(server)
                if not error.retryable or not self.has_more(tried):
                    raise

    def describe(self, timeout: float | None = None, *, again: bool = False) -> ServerDescription:
        """As `Connection.describe`: what one says of itself; all must speak the same bundle."""
        return self._answer(lambda server: server.describe(timeout, again=again))

    def is_ready(self) -> bool:
        """Whether one of them takes requests now."""
        with self._lock:
            servers = list(self._servers.values())
        return any(server.is_ready() for server in servers)

    @property
    def described(self) -> ServerDescription | None:
        """What one said when it was last asked."""
        with self._lock:
            return next((one.described for one in self._servers.values() if one.described), None)

    def close(self) -> None:
        """Close every connection; blocks up to their drain timeout."""
        self._closing.set()
        with self._lock:
            servers = [*self._servers.values(), *self._retired]
        for server in servers:
            server.begin_to_close()
        for server in servers:
            server.close()

    def _connected(self, address: str) -> Connection:
        return self._connect(address, self._name["name"] if self._name else None)

    def _look(self) -> None:
        """Ask those that were silent, and for the name's addresses, until the client is closed."""
        while not self._closing.wait(LOOK_SECONDS):
            with self._lock:
                silent = list(self._silent)
            for server in silent:
                if server.is_ready():
                    with self._lock:
                        self._silent.discard(server)
            if self._name and time.monotonic() - self._resolved_at >= RESOLVE_SECONDS:
                self._resolved_at = time.monotonic()
                if addresses := set(addresses_of(**self._name.groupdict())):
                    self._change(addresses)
            for server in [one for one in self._retired if not one.streams]:
                self._retired.remove(server)
                server.close()

    def _change(self, addresses: set[str]) -> None:
        with self._lock:
            if self._closing.is_set():
                return
            for address in self._servers.keys() - addresses:
                server = self._servers.pop(address)
                self._silent.discard(server)
                self._retired.append(server)
            for address in addresses - self._servers.keys():
                self._servers[address] = self._connected(address)


def addresses_of(name: str, port: str) -> list[str]:
    """HOST:PORT of each address that a name has now, of one family: most servers have one of each."""
    try:
        found = socket.getaddrinfo(name.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (OSError, ValueError):
        return []
    families: dict[int, list[str]] = {}
    for family, *_, (host, *_) in found:
        families.setdefault(family, []).append(f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}")
    most = max(families.values(), key=lambda addresses: len(set(addresses)))
    return list(dict.fromkeys(most))
