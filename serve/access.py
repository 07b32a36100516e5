"""Who may reach and do what: addresses, protocols and certificates as arguments of Triton, keys in its environment."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from serve.errors import LaunchError
from serve.ports import ANY, LOOPBACK, Ports, listening_address

KEY_VARIABLE = "HIGGS_SIGNING_KEY"  # with it models sign what they write for each other
VOICES_VARIABLE = "HIGGS_VOICES"
WRITABLE, READ_ONLY = "writable", "read-only"
# No client of ours uses these; they let a stranger read other programs' shared memory, unload models or fill the disk.
_OPERATORS_ONLY = ("shared-memory", "model-repository", "statistics", "trace", "logging")
OPERATOR = "operator"  # the HTTP header that carries the key
# A client whose network was cut is noticed within the sum of both; gRPC's default is two hours.
_KEEPALIVE_MS, _KEEPALIVE_TIMEOUT_MS = 5000, 3000


@dataclass(frozen=True)
class Tls:
    """Certificates for gRPC, as PEM files; with `client_ca` only clients that it has signed may speak."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def arguments(self) -> list[str]:
        """Raises LaunchError: a file cannot be read."""
        for file in filter(None, (self.certificate, self.key, self.client_ca)):
            try:
                file.open("rb").close()
            except OSError as error:
                raise LaunchError(f"cannot read {file} ({error.strerror})") from error
        files = ["--grpc-use-ssl=true", f"--grpc-server-cert={self.certificate}", f"--grpc-server-key={self.key}"]
        if self.client_ca is not None:
            files += ["--grpc-use-ssl-mutual=true", f"--grpc-root-cert={self.client_ca}"]
        return files


@dataclass(frozen=True)
class Access:
    """Where Triton listens, and to whom.

    Args:
        ports: one for each service; free ones by default.
        host: address or name for gRPC and metrics.
        http_host: the same for HTTP. Triton's HTTP has faults that let anybody end the server (SECURITY.md): a proxy in
            front of it must refuse chunked bodies.
        tls: gRPC is encrypted with these.
        voices: WRITABLE lets clients add, replace and remove voices, READ_ONLY does not.
        shared: a newer server may take over the ports for gRPC and HTTP while this one still has them.
        key: what opens to the launcher what is shut to all others; nobody else is told.
    """

    ports: Ports = field(default_factory=Ports.free)
    host: str = LOOPBACK
    http_host: str = LOOPBACK
    tls: Tls | None = None
    voices: str = WRITABLE
    shared: bool = False
    key: str = field(default_factory=partial(secrets.token_urlsafe, 32))

    def url(self, service: str) -> str:
        """HOST:PORT by which this machine reaches a service.

        Raises LaunchError: the host is none.
        """
        host = listening_address(self.http_host if service == "http" else self.host)
        return f"{LOOPBACK if host == ANY else host}:{getattr(self.ports, service)}"

    def environment(self) -> dict[str, str]:
        """What only the models are told, and no command line shows: a key of this start, or the operator's own."""
        return {KEY_VARIABLE: os.environ.get(KEY_VARIABLE) or secrets.token_hex(32), VOICES_VARIABLE: self.voices}

    def hosts(self) -> dict[str, str]:
        """The address of each service. Raises LaunchError: it is none."""
        host, http_host = listening_address(self.host), listening_address(self.http_host)
        return {"http": http_host, "grpc": host, "metrics": host}

    def arguments(self, beside: bool = False) -> list[str]:
        """beside: of a server that has the ports now. Raises LaunchError: an address is none, or a port is taken."""
        hosts = self.hosts()
        if not beside:
            self.ports.refuse_if_taken(hosts)
        key = f"{','.join(_OPERATORS_ONLY)}:{OPERATOR}={self.key}"
        return [
            *(f"--{service}-address={host}" for service, host in hosts.items()),
            *(f"--{service}-port={port}" for service, port in vars(self.ports).items()),
            f"--grpc-restricted-protocol={key}",
            f"--http-restricted-api={key}",
            f"--grpc-keepalive-time={_KEEPALIVE_MS}",
            f"--grpc-keepalive-timeout={_KEEPALIVE_TIMEOUT_MS}",
            *(("--reuse-grpc-port=true", "--reuse-http-port=true") if self.shared else ()),
            *(self.tls.arguments() if self.tls else ()),
        ]
