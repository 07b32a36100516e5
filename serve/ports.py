"""Where a server listens."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import asdict, dataclass

from serve.errors import LaunchError

_HIGHEST = 65535


@dataclass(frozen=True)
class Ports:
    """One port for each of Triton's services."""

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
        """Raise LaunchError for the first port that is none, that is taken, or that this host cannot listen on.

        Triton does not always notice itself: its gRPC service shares a port with another one (SO_REUSEPORT), and
        the two servers then answer in turn.
        """
        for name, port in asdict(self).items():
            if not 1 <= port <= _HIGHEST:
                raise LaunchError(f"--{name}-port is {port}; a port is a number from 1 to {_HIGHEST}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not refused for connections long closed
                try:
                    probe.bind((host, port))
                except OSError as error:
                    raise LaunchError(
                        f"cannot listen on port {port} of {host} ({error.strerror}); "
                        f"if another server is running there, choose another port with --{name}-port"
                    ) from error
