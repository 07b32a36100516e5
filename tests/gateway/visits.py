"""An HTTP server of a few pages, some of which misbehave; it counts who comes."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Visits:
    """pages: bodies by path. `/moved`, `/drip` (a byte at a time) and `/endless` are there beside them."""

    url: str
    pages: dict[str, bytes] = field(default_factory=dict)
    hosts: list[str] = field(default_factory=list)  # headers of the requests that came

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


class _Handler(BaseHTTPRequestHandler):
    visits: Visits

    def do_GET(self) -> None:
        self.visits.hosts.append(self.headers["host"])
        body = self.visits.pages.get(self.path)
        moved, lasting = self.path == "/moved", self.path in ("/drip", "/endless")
        self.send_response(302 if moved else 200 if lasting or body is not None else 404)
        if moved:
            self.send_header("location", "/good.wav")
        self.end_headers()
        with suppress(OSError):  # who came has gone
            while lasting:
                self.wfile.write(b"\0" if self.path == "/drip" else bytes(1 << 20))
                time.sleep(0.05 if self.path == "/drip" else 0)
            self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def visited(certificate: Path | None = None) -> Iterator[Visits]:
    """certificate: a PEM file with its .key beside it, for https."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {}))
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    visits = Visits(f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}")
    server.RequestHandlerClass.visits = visits  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield visits
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
