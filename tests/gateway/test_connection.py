"""How long a connection may take and how much may wait for it: heads, bodies, answers that are read slowly or not."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.connection import PunctualProtocol
from gateway.settings import Settings
from serve.triton import TritonServer
from tests.gateway.running import ANSWER_SECONDS, caller, running

PATH = "/v1/audio/speech"
SHORT = {"input": "Nine birds.", "max_seconds": 0.2, "response_format": "pcm"}


def test_all_bodies_together_are_bounded(server: TritonServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.front._LONGEST_BODIES", 1)
    with running(Settings(triton=server.grpc_url, max_body=1000)) as address, caller(address) as http:
        place = urlsplit(address)
        with socket.create_connection((place.hostname, place.port)) as connection:
            head = [f"POST {PATH} HTTP/1.1", "Host: localhost", "Content-Type: application/json", "Content-Length: 900"]
            connection.sendall("\r\n".join([*head, "", '{"i' + " " * 800]).encode())
            body = SHORT | {"input": "Nine birds." + " " * 300}
            until(lambda: http.post(PATH, json=body).status_code == 503)
            assert http.post(PATH, json=SHORT).status_code == 200
        until(lambda: http.post(PATH, json=body).status_code == 200)


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + ANSWER_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def small_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a client has not read waits in the gateway and not in the kernel."""

    def connected(self: PunctualProtocol, transport: asyncio.Transport) -> None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        made(self, transport)

    made = PunctualProtocol.connection_made
    monkeypatch.setattr(PunctualProtocol, "connection_made", connected)


@contextmanager
def asking(address: str, what: str) -> Iterator[socket.socket]:
    """A connection on which "a file", "a stream" or "a whole answer", of 300 kB or more, was asked for."""
    body = {"input": "Nine birds sing. " * 8, "response_format": "wav", "stream": what == "a stream"}
    content = "" if what == "a file" else json.dumps(body | {"runaway_guard": False})
    line = "GET /page/swagger-ui-bundle.js HTTP/1.1" if what == "a file" else f"POST {PATH} HTTP/1.1"
    told = ["Host: localhost", "Connection: close", "Content-Type: application/json", f"Content-Length: {len(content)}"]
    place = urlsplit(address)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((place.hostname, place.port))
        connection.sendall("\r\n".join([line, *told, "", content]).encode())
        yield connection


ANSWERS = ["a file", "a stream", "a whole answer"]


@pytest.mark.parametrize("what", ANSWERS)
@pytest.mark.usefixtures("small_buffers")
def test_who_does_not_read_is_hung_up_on(server: TritonServer, what: str) -> None:
    route = "/page/{name}" if what == "a file" else PATH
    with (
        running(Settings(triton=server.grpc_url, write_timeout=0.5)) as address,
        caller(address) as http,
        asking(address, what) as connection,
    ):
        until(lambda: f'route="{route}",status="200"' in metrics(http))
        until(lambda: "higgs_gateway_open_requests 1.0" in metrics(http))
        time.sleep(2)  # an answer in one piece leaves the application at once
        assert len(until_closed(connection, seconds=30)) < 100_000, "only what the kernels had taken"


@pytest.mark.parametrize("what", ANSWERS)
@pytest.mark.usefixtures("small_buffers")
def test_who_reads_slowly_gets_it_all(server: TritonServer, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr("gateway.connection.IDLE_SECONDS", 0.5)
    with running(Settings(triton=server.grpc_url, write_timeout=1.0)) as address, asking(address, what) as connection:
        connection.settimeout(ANSWER_SECONDS)
        answer = bytearray(connection.recv(4096))
        while part := connection.recv(8192):
            answer += part
            time.sleep(0.02 * len(part) / 4096)
    head, _, body = bytes(answer).partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    assert len(body) == int(length[1]) if length else body.endswith(b"\r\n0\r\n\r\n")
    assert len(body) > 300_000


def metrics(http: httpx.Client) -> str:
    return http.get("/metrics").text


def until_closed(connection: socket.socket, seconds: float) -> bytes:
    """What comes until the other end closes."""
    connection.settimeout(seconds)
    told = bytearray()
    with suppress(ConnectionResetError):
        while part := connection.recv(4096):
            told += part
    return bytes(told)


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\nGET"]
)
def test_who_says_nothing_is_hung_up_on(address: str, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr("gateway.connection.IDLE_SECONDS", 0.5)
    place = urlsplit(address)
    with socket.create_connection((place.hostname, place.port)) as connection:
        connection.sendall(sent)
        until_closed(connection, seconds=30)


def test_a_body_that_does_not_come_is_not_waited_for(server: TritonServer) -> None:
    with running(Settings(triton=server.grpc_url, write_timeout=0.5)) as address:
        place = urlsplit(address)
        with socket.create_connection((place.hostname, place.port)) as connection:
            head = [
                "POST /v1/audio/speech HTTP/1.1",
                "Host: localhost",
                "Content-Type: application/json",
                "Content-Length: 9",
            ]
            connection.sendall("\r\n".join([*head, "", '{"i']).encode())
            assert until_closed(connection, seconds=30).startswith(b"HTTP/1.1 408 ")
