"""A gateway that listens, in a thread of the test's process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx

from gateway.__main__ import web_server
from gateway.settings import Settings

START_SECONDS = 60.0
ANSWER_SECONDS = 120.0  # tests share their machine


def caller(address: str, **options: Any) -> httpx.Client:
    """A client of the gateway at that address. options: httpx's."""
    return httpx.Client(base_url=address, timeout=ANSWER_SECONDS, trust_env=False, **options)


@contextmanager
def running(settings: Settings) -> Iterator[str]:
    """Its address, SCHEME://HOST:PORT; the settings' own port is not used."""
    server = web_server(replace(settings, port=0, drain=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + START_SECONDS
        while not server.started:
            assert thread.is_alive() and time.monotonic() < deadline
            time.sleep(0.01)
        scheme = "https" if settings.tls_cert else "http"
        yield "{}://{}:{}".format(scheme, *server.servers[0].sockets[0].getsockname())
    finally:
        server.should_exit = True
        thread.join()
