"""Clients that go away, in every format, before and after the first byte: their stream ends on the server at once."""

from __future__ import annotations

import socket
import time
import urllib.request
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.encoding import FORMATS
from serve.triton import TritonServer

LONG = "Nine birds sing. " * 160
GRACE_SECONDS = 5.0


def live_streams(server: TritonServer) -> float:
    with urllib.request.urlopen(f"http://{server.metrics_url}/metrics") as page:
        lines = page.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("higgs_live_streams"))


def open_requests(http: httpx.Client) -> float:
    lines = http.get("/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("higgs_gateway_open_requests"))


def wait_until_it_speaks(server: TritonServer) -> None:
    """Until its metrics, which come four times a second, say so."""
    deadline = time.monotonic() + GRACE_SECONDS
    while not live_streams(server):
        assert time.monotonic() < deadline, "nobody speaks"
        time.sleep(0.02)


def wait_until_free(http: httpx.Client, server: TritonServer) -> None:
    """Until nothing is spoken and only the question itself is open."""
    deadline = time.monotonic() + GRACE_SECONDS
    while live_streams(server) or open_requests(http) > 1:
        assert time.monotonic() < deadline, "somebody still speaks to nobody"
        time.sleep(0.05)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("stream_format", ["audio", "sse"])
def test_a_client_that_leaves_ends_its_speech(
    http: httpx.Client, server: TritonServer, name: str, stream_format: str
) -> None:
    body = {"input": LONG, "response_format": name, "stream_format": stream_format, "runaway_guard": False}
    with http.stream("POST", "/v1/audio/speech", json=body) as answer:
        assert answer.status_code == 200
        parts = answer.iter_raw()  # httpx hangs up when it is let go
        next(parts)
        wait_until_it_speaks(server)
    wait_until_free(http, server)


@pytest.mark.parametrize("stream", ["true", "false"])
def test_so_does_one_that_leaves_before_the_first_byte(
    http: httpx.Client, address: str, server: TritonServer, stream: str
) -> None:
    place = urlsplit(address)
    body = f'{{"input": "{LONG}", "stream": {stream}, "runaway_guard": false}}'.encode()
    with socket.create_connection((place.hostname, place.port)) as connection:
        head = ["POST /v1/audio/speech HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
        connection.sendall("\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body)
        wait_until_it_speaks(server)
    wait_until_free(http, server)
    assert 'outcome="gone"' in http.get("/metrics").text
