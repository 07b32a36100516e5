"""A server of buckets on this machine, moto's, that fails, hangs and remembers as a test asks it to."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from moto.backends import get_backend
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET = "speech"
KEY_ID, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@dataclass
class Buckets:
    """url: of the server. requests: "METHOD path" of each that came. answers: that, with
    what came of it, "200". fail_every: answer each n-th with 500 (0: none).

    lose_every: do what each n-th asks for, and then answer with 500. answer: status and code, for all but DELETE,
    instead of doing it. open_gate: while it is not set, requests wait.
    """

    url: str
    requests: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    fail_every: int = 0
    lose_every: int = 0
    answer: tuple[str, str] | None = None
    open_gate: threading.Event = field(default_factory=threading.Event)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead a client here."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    @property
    def objects(self) -> dict[str, Any]:
        """moto's objects in the bucket, by name."""
        return dict(_backend().buckets[BUCKET].keys)

    @property
    def unfinished_uploads(self) -> int:
        """Uploads in pieces that were neither completed nor aborted."""
        return len(_backend().buckets[BUCKET].multiparts)

    def counted(self, method: str) -> int:
        """How many requests of this method came."""
        return sum(request.startswith(f"{method} ") for request in self.requests)


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        pass


@contextmanager
def bucket_server() -> Iterator[Buckets]:
    """An empty bucket, BUCKET, on a server of its own."""
    _backend().reset()
    inner = DomainDispatcherApplication(create_backend_app)
    numbers = itertools.count(1)

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        buckets.requests.append(request)

        def done(status: str) -> None:
            buckets.answers.append(f"{request} {status[:3]}")

        def start(status: str, *rest: Any) -> Any:
            done(status)
            return start_response(status, *rest)

        buckets.open_gate.wait()
        number = next(numbers)
        if buckets.answer is not None and environ["REQUEST_METHOD"] != "DELETE":
            start(buckets.answer[0], [("Content-Type", "application/xml")])
            return [f"<Error><Code>{buckets.answer[1]}</Code><Message>{SECRET}</Message></Error>".encode()]
        is_lost = buckets.lose_every and number % buckets.lose_every == 0
        if not is_lost and (not buckets.fail_every or number % buckets.fail_every):
            return inner(environ, start)
        content = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if is_lost:
            list(inner({**environ, "wsgi.input": BytesIO(content)}, lambda status, *_: done(status)))
        start("500 Internal Server Error", [("Content-Type", "application/xml")])
        return [b"<Error><Code>InternalError</Code></Error>"]

    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Quiet)
    buckets = Buckets(f"http://127.0.0.1:{server.server_port}")
    buckets.open_gate.set()
    _backend().create_bucket(BUCKET, "us-east-1")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield buckets
    finally:
        buckets.open_gate.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _backend() -> Any:
    return get_backend("s3")["123456789012"]["aws"]
