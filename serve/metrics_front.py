"""One metrics port for servers that follow each other: Triton shares its other ports with a newer one, but not this."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_SECONDS = 5.0


def pass_metrics_on(host: str, port: int, source: Callable[[], str]) -> None:
    """Answer on a port, from now on, with what the server at HOST:PORT says, which `source` names. Raises OSError."""

    class Handler(BaseHTTPRequestHandler):
        timeout = _SECONDS

        def do_GET(self) -> None:
            connection = http.client.HTTPConnection(source(), timeout=_SECONDS)
            try:
                connection.request("GET", self.path)
                answer = connection.getresponse()
                status, kind, page = answer.status, answer.getheader("Content-Type", "text/plain"), answer.read()
            except (OSError, http.client.HTTPException):
                status, kind, page = http.client.SERVICE_UNAVAILABLE, "text/plain", b""
            finally:
                connection.close()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((host, port), Handler)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
