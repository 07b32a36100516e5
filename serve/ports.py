"""Where a server listens."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass

from serve.errors import LaunchError

HIGHEST = 65535
ANY, LOOPBACK = "0.0.0.0", "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """One port for each of Triton's services."""

    http: int = 8000
    grpc: int = 8001
    metrics: int = 8002

    @classmethod
    def free(cls) -> Ports:
        """Three ports that are free at the moment."""
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(3)]
            for one in sockets:
                one.bind((LOOPBACK, 0))
            return cls(*(one.getsockname()[1] for one in sockets))

    def refuse_if_taken(self, hosts: Mapping[str, str]) -> None:
        """Raise LaunchError for the first port that is none, that is taken, or that its host cannot listen on.

        Triton does not always notice: its gRPC service shares a port with another server (SO_REUSEPORT), and the
        two servers then answer in turn.
        """
        if len(set(asdict(self).values())) < len(asdict(self)):
            raise LaunchError(
                f"HTTP, gRPC and metrics need a port each, not {self.http}, {self.grpc} and {self.metrics}"
            )
        for name, port in asdict(self).items():
            if not 1 <= port <= HIGHEST:
                raise LaunchError(f"--{name}-port is {port}; a port is a number from 1 to {HIGHEST}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not refused for connections long closed
                host = hosts[name]
                try:
                    probe.bind((host, port))
                except OSError as error:
                    if error.errno == errno.EADDRNOTAVAIL:
                        option = "--http-host" if name == "http" else "--host"
                        raise LaunchError(f"{option} {host} is no address of this machine; give one that is") from None
                    raise LaunchError(
                        f"cannot listen on port {port} of {host} ({error.strerror}); "
                        f"if another server is running there, choose another port with --{name}-port"
                    ) from error


def listening_address(host: str) -> str:
    """The numeric IPv4 address of a host name or address: Triton does not resolve names itself.

    Raises LaunchError for an unknown name, and for a name or address of IPv6, which Triton's HTTP does not support.
    """
    bare = host.strip().removeprefix("[").removesuffix("]")
    remedy = f"give an IPv4 address of this machine with --host, or {ANY} for all of them"
    try:
        if not bare:
            raise LaunchError(f"--host is empty; {remedy}")
        return str(socket.getaddrinfo(bare, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError) as error:
        if _has_ipv6(bare):
            raise LaunchError(f"--host {host} is an IPv6 address, which Triton cannot listen on; {remedy}") from None
        reason = error.strerror if isinstance(error, OSError) else "it is not a host name"
        raise LaunchError(f"--host {host} is unknown ({reason}); {remedy}") from None


def _has_ipv6(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None, socket.AF_INET6))
    except (OSError, UnicodeError):
        return False
