"""Wyoming's port: frames that are none, silence, clients that do not read or hang up."""

from __future__ import annotations

import socket
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from wyoming.event import Event, read_event, write_event

from gateway.settings import Settings, parse
from gateway.sockets.event_line import EventLine
from serve.triton import TritonServer
from tests.gateway.running import ANSWER_SECONDS, caller, running
from tests.gateway.test_leaving import LONG, wait_until_free, wait_until_it_speaks

VOICE = {"voice": {"name": "tone"}}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def listening(server: TritonServer, **options: object) -> Iterator[tuple[httpx.Client, socket.socket]]:
    """A gateway that speaks Wyoming too, and a connection to it."""
    port = free_port()
    settings = Settings(triton=server.grpc_url, wyoming=("127.0.0.1", port), **options)
    with running(settings) as address, caller(address) as http, socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # what is not read waits in the gateway
        line.settimeout(ANSWER_SECONDS)
        line.connect(("127.0.0.1", port))
        yield http, line


def told(line: socket.socket) -> list[Event]:
    """All events until it hangs up."""
    events = []
    with line.makefile("rb") as file:
        while (event := read_event(file)) is not None:
            events.append(event)
    return events


def tell(line: socket.socket, *events: Event) -> None:
    with line.makefile("wb") as file:
        for event in events:
            write_event(event, file)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n",
        b"[]\n",
        b'{"data": {}}\n',
        b'{"type": "describe", "data_length": 99999999}\n',
        b'{"type": "describe", "data_length": -1}\n',
        b'{"type": "describe", "payload_length": "x"}\n',
        b'{"type": "describe", "data_length": 2}\n[]',
        b"x" * 70_000 + b"\n",
        b"[" * 60_000 + b"\n",
    ],
    ids=range(9),
)
def test_what_is_no_event_ends_the_connection(server: TritonServer, sent: bytes) -> None:
    with listening(server) as (_, line):
        line.sendall(sent)
        (error,) = told(line)
        assert error.type == "error" and error.data == {"text": "That is no event of Wyoming.", "code": "invalid_event"}


def test_events_that_lack_something_are_told_and_others_ignored(server: TritonServer) -> None:
    with listening(server, idle_timeout=0.5) as (_, line):
        tell(line, Event("transcribe"), Event("synthesize", {}), Event("synthesize", {"text": 1}), Event("ping"))
        kinds = [event.type for event in told(line)]
        assert kinds == ["error", "audio-stop", "error", "audio-stop", "pong", "error"], "the last for the silence"


def test_silence_has_an_end_and_a_sentence(server: TritonServer) -> None:
    with listening(server, idle_timeout=0.3) as (_, line):
        (error,) = told(line)
        assert error.data["text"] == "Nothing was sent for 0.3 s."


@pytest.mark.parametrize("event", [Event("synthesize", {"text": LONG} | VOICE), Event("synthesize-start", VOICE)])
def test_a_client_that_hangs_up_ends_its_speech(server: TritonServer, event: Event) -> None:
    with listening(server) as (http, line):
        tell(line, event, Event("synthesize-chunk", {"text": LONG}))
        wait_until_it_speaks(server)
        line.close()
        wait_until_free(http, server)
        assert 'outcome="gone"' in http.get("/metrics").text


def test_who_does_not_read_is_hung_up_on(server: TritonServer, monkeypatch: pytest.MonkeyPatch) -> None:
    class Small(EventLine):
        """What is not read waits in the gateway and not in the kernel."""

        def __init__(self, reader: StreamReader, writer: StreamWriter, *others: Any) -> None:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            super().__init__(reader, writer, *others)

    monkeypatch.setattr("gateway.sockets.wyoming.EventLine", Small)
    with listening(server, write_timeout=0.5) as (http, line):
        tell(line, *[Event("synthesize", {"text": LONG} | VOICE)] * 4)
        wait_until_it_speaks(server)
        deadline = time.monotonic() + ANSWER_SECONDS
        while "higgs_gateway_open_requests 1.0" not in http.get("/metrics").text:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        wait_until_free(http, server)


def test_it_is_off_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse([]).wyoming is None
    assert parse(["--wyoming", "0.0.0.0:10200"]).wyoming == ("0.0.0.0", 10200)
    assert parse(["--wyoming", "[::1]:10200"]).wyoming == ("::1", 10200)
    for wrong in ("10200", "host:", ":1", "host:99999"):
        with pytest.raises(SystemExit):
            parse(["--wyoming", wrong])
