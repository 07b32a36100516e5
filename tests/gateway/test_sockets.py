"""What holds for every socket: who may open one, how long it may be silent, and what is left when it is gone."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.connection import PunctualSocket
from gateway.settings import Settings
from serve.triton import TritonServer
from tests.gateway.running import caller, running
from tests.gateway.sockets import DIALOGUE, FIRST, MANY, ONE, VLLM, opened, rest, tell, told, until
from tests.gateway.test_front import key_file
from tests.gateway.test_leaving import LONG, live_streams, open_requests, wait_until_free, wait_until_it_speaks

STREAMED = {"type": "session.config", "voice": "tone", "stream_audio": True, "response_format": "pcm"}
LASTING = STREAMED | {"runaway_guard": False}
NOWHERE = "127.0.0.1:9"  # no server, where none is needed


def refused(address: str, path: str, **headers: str) -> tuple[int, str]:
    """The status and the code of a handshake's refusal."""
    with pytest.raises(InvalidStatus) as refusal:
        opened(address, path, **headers)
    answer = refusal.value.response
    assert answer.headers["x-request-id"]
    return answer.status_code, json.loads(answer.body)["error"]["code"]


@pytest.mark.parametrize("path", FIRST)
def test_a_wrong_key_opens_none(path: str) -> None:
    with running(Settings(triton=NOWHERE, keys=("plain",))) as address:
        assert refused(address, path, authorization="Bearer wrong") == (401, "invalid_api_key")
        assert refused(address, path, xi_api_key="wrong") == (401, "invalid_api_key")


def test_a_key_is_needed(server: TritonServer) -> None:
    with running(Settings(triton=server.grpc_url, keys=("plain",))) as address:
        assert refused(address, VLLM) == (401, "missing_api_key")
        for headers in ({"authorization": "Bearer plain"}, {"xi_api_key": "plain"}):
            with opened(address, VLLM, FIRST[VLLM], **headers) as connection:
                assert until(connection, type="session.configured")


@pytest.mark.parametrize("path", [ONE, MANY, DIALOGUE])
def test_elevenlabs_clients_may_bring_it_in_the_first_message(server: TritonServer, path: str) -> None:
    with running(Settings(triton=server.grpc_url, keys=("plain",))) as address:
        for wrong in ({}, {"xi_api_key": "wrong"}, {"authorization": "plain"}, {"xi_api_key": 1}):
            with opened(address, path, FIRST[path] | wrong) as connection:
                (error,), code, reason = rest(connection)
                assert code == error["code"] == 1008 and error["error"] in ("missing_api_key", "invalid_api_key")
                assert reason == error["message"]
        for right in ({"xi_api_key": "plain"}, {"authorization": "Bearer plain"}):
            with opened(address, path, FIRST[path] | right, {"close_socket": True}) as connection:
                assert rest(connection)[1] == 1000


@pytest.mark.parametrize(
    ("headers", "cors", "status"),
    [
        ({}, (), 101),
        ({"origin": "HOST"}, (), 101),
        ({"origin": "https://other.example"}, (), 403),
        ({"origin": "https://other.example"}, ("https://other.example",), 101),
        ({"origin": "https://other.example", "sec_fetch_site": "cross-site"}, (), 403),
        ({"origin": "https://proxy.example", "sec_fetch_site": "same-origin"}, (), 101),
        ({"origin": "null"}, (), 403),
    ],
)
def test_pages_of_other_origins_open_none(headers: dict[str, str], cors: tuple[str, ...], status: int) -> None:
    with running(Settings(triton=NOWHERE, cors=cors)) as address:
        headers = {name: value.replace("HOST", address) for name, value in headers.items()}
        if status == 403:
            assert refused(address, ONE, **headers) == (403, "foreign")
        else:
            opened(address, ONE, **headers).close()


def test_a_path_that_is_none(address: str) -> None:
    assert refused(address, "/v1/text-to-speech/tone/stream-inputs")[0] == 404


def test_they_count_among_the_open_requests() -> None:
    with running(Settings(triton=NOWHERE, max_requests=2)) as address:
        with opened(address, ONE), opened(address, MANY):
            assert refused(address, VLLM) == (503, "too_many_open")
        with opened(address, ONE):
            pass


def test_each_speech_counts_as_a_request_of_its_key(server: TritonServer, tmp_path: Path) -> None:
    settings = Settings(triton=server.grpc_url, keys_file=key_file(tmp_path, requests_per_minute=2))
    with running(settings) as address, opened(address, MANY, FIRST[MANY], xi_api_key="secret") as connection:
        tell(
            connection, {"text": "Nine. ", "context_id": "a", "flush": True}, {"context_id": "a", "close_context": True}
        )
        until(connection, isFinal=True, contextId="a")
        tell(connection, {"text": "Nine. ", "context_id": "b"})
        error, final = told(connection), told(connection)
        assert error["error"] == "rate_limit_exceeded" and error["contextId"] == final["contextId"] == "b"
        assert final["isFinal"] is True


def test_a_key_has_so_many_speeches_at_a_time(server: TritonServer, tmp_path: Path) -> None:
    settings = Settings(triton=server.grpc_url, keys_file=key_file(tmp_path, streams=1))
    with running(settings) as address:
        for _ in range(2):  # a socket that is gone gives it back
            with opened(address, MANY, xi_api_key="secret") as connection:
                tell(connection, {"text": "Nine ", "context_id": "a"}, {"text": "Ten ", "context_id": "b"})
                assert until(connection, error="too_many_streams")[-1]["contextId"] == "b"
            with caller(address, headers={"authorization": "Bearer secret"}) as http:
                wait_until_free(http, server)


@pytest.mark.parametrize("path", FIRST)
def test_silence_has_an_end_and_a_sentence(path: str, server: TritonServer) -> None:
    with running(Settings(triton=server.grpc_url, idle_timeout=0.3)) as address:
        for messages in ((), (FIRST[path],)):
            with opened(address, path, *messages) as connection:
                told_last, code, reason = rest(connection)
                sentence = told_last[-1]["message"]
                assert code == 1008 and sentence == reason and sentence.startswith("Nothing was sent for 0.3 s")


def test_elevenlabs_clients_may_ask_for_a_longer_silence(address: str, server: TritonServer) -> None:
    with running(Settings(triton=server.grpc_url, idle_timeout=0.3)) as url:
        started = time.monotonic()
        with opened(url, f"{MANY}?inactivity_timeout=1", {"text": ""}) as connection:
            time.sleep(0.6)
            tell(connection, {"text": ""})  # keeps it
            assert rest(connection)[1] == 1008
        assert time.monotonic() - started > 1.5


@pytest.mark.parametrize("path", FIRST)
def test_a_message_may_be_so_long(path: str) -> None:
    settings = Settings(triton=NOWHERE, max_message=1000)
    with running(settings) as address, opened(address, path, {"text": "x" * 1000}) as connection:
        assert rest(connection)[1] == 1009


@pytest.mark.parametrize("sent", ["{", "[]", "1", '{"text": "\\ud800"}', "[" * 100_000, b"{}"])
@pytest.mark.parametrize("path", [VLLM, ONE])
def test_what_is_no_message_is_told(path: str, sent: str | bytes, address: str) -> None:
    with opened(address, path) as connection:
        connection.send(sent)
        messages, code, _ = rest(connection)
        assert code == 1008 and len(messages) == 1 and messages[0]["message"].endswith(".")


@pytest.mark.parametrize(
    ("path", "piece"),
    [(ONE, {"text": "Nine. ", "flush": True}), (VLLM, {"type": "input.text", "text": "Nine. "})],
)
def test_a_client_that_is_killed_between_two_pieces_leaves_nothing(
    http: httpx.Client, address: str, server: TritonServer, path: str, piece: dict[str, Any]
) -> None:
    connection = opened(address, path, FIRST[path], piece)
    until_waiting(server, 1)
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.socket.shutdown(socket.SHUT_RDWR)  # without a word
    until_waiting(server, 0)
    wait_until_free(http, server)


def until_waiting(server: TritonServer, streams: int) -> None:
    """Until so many streams of the server have spoken all their text and wait for more."""
    deadline = time.monotonic() + 10
    while f"\nhiggs_streams_without_text {streams}\n" not in httpx.get(f"http://{server.metrics_url}/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_client_that_leaves_in_mid_speech_ends_it(http: httpx.Client, address: str, server: TritonServer) -> None:
    with opened(address, VLLM, LASTING, {"type": "input.text", "text": LONG}) as connection:
        wait_until_it_speaks(server)
        until(connection, type="audio.start")
    wait_until_free(http, server)
    assert (
        'higgs_gateway_requests_total{method="WEBSOCKET",route="/v1/audio/speech/stream",status="101"}'
        in http.get("/metrics").text
    )


def test_who_does_not_read_is_hung_up_on(server: TritonServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def connected(self: PunctualSocket, transport: asyncio.Transport) -> None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        transport.set_write_buffer_limits(4096)
        made(self, transport)

    made = PunctualSocket.connection_made
    monkeypatch.setattr(PunctualSocket, "connection_made", connected)
    with running(Settings(triton=server.grpc_url, write_timeout=0.5)) as address, caller(address) as http:
        url = address.replace("http", "ws", 1) + VLLM

        async def ask() -> None:
            heard = 0
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            place = httpx.URL(address)
            sock.connect((place.host, place.port))
            async with connect(url, sock=sock, max_queue=1, ping_interval=None) as connection:
                for message in (LASTING, {"type": "input.text", "text": LONG}):
                    await connection.send(json.dumps(message))
                await asyncio.to_thread(wait_until_it_speaks, server)
                await asyncio.to_thread(wait_until_free, http, server)
                with suppress(ConnectionClosed):
                    async for sound in connection:
                        heard += len(sound)
            assert heard < 300_000, "only what the kernels had taken"

        asyncio.run(ask())


def test_200_that_are_silent_hold_nothing_and_end(server: TritonServer) -> None:
    """One in ten has spoken, and could go on."""
    sockets = 200

    async def silent(address: str, number: int) -> dict[str, Any]:
        url = address.replace("http", "ws", 1) + VLLM
        async with connect(url, ping_interval=None, proxy=None, open_timeout=60) as connection:
            await connection.send(json.dumps(STREAMED | {"max_part_seconds": 0.2}))
            if number % 10 == 0:
                await connection.send(json.dumps({"type": "input.text", "text": "Nine. Ten "}))
            async for text in connection:
                if isinstance(text, str) and (message := json.loads(text))["type"] == "error":
                    return message
        raise AssertionError("It said nothing.")

    async def all_of_them(address: str) -> list[dict[str, Any]]:
        return await asyncio.gather(*(silent(address, number) for number in range(sockets)))

    settings = Settings(triton=server.grpc_url, idle_timeout=3.0)
    with running(settings) as address, caller(address) as http, ThreadPoolExecutor(1) as pool:
        work = pool.submit(lambda: asyncio.run(all_of_them(address)))
        taken = []  # bytes, while all are open and nobody speaks
        while not work.done():
            if open_requests(http) > sockets and live_streams(server) == 0:
                taken.append(psutil.Process().memory_info().rss)
            time.sleep(0.1)
        assert len(taken) > 3 and max(taken) - taken[0] < 5e6
        assert [message["message"] for message in work.result()] == ["Nothing was sent for 3 s."] * sockets
        wait_until_free(http, server)


def test_a_gateway_that_stops_speaks_to_the_end(server: TritonServer) -> None:
    messages: list[Any] = []

    def listen() -> None:
        with opened(url, VLLM, LASTING | {"max_seconds": 2.0}, {"type": "input.text", "text": LONG}) as connection:
            messages.extend(until(connection, type="audio.start"))
            began.set()
            found, code, reason = rest(connection)
            messages.extend([*found, code, reason])

    began = threading.Event()
    with running(Settings(triton=server.grpc_url)) as url:
        listener = threading.Thread(target=listen)
        listener.start()
        assert began.wait(60)
    listener.join()
    sound = b"".join(message for message in messages if isinstance(message, bytes))
    assert len(sound) == 2 * 24_000 * 2.0
    assert messages[-2:] == [1012, "The gateway is being restarted; connect again."]
