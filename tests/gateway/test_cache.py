"""The same request gives the same bytes, so an answer may be named, and kept."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.cache import Kept, SpeechCache
from gateway.settings import Settings
from serve.triton import TritonServer
from tests.gateway.running import caller, running

PATH = "/v1/audio/speech"
SHORT: dict[str, Any] = {"input": "Nine birds.", "max_seconds": 0.2}


def test_the_same_request_has_the_same_name_and_the_same_bytes(http: httpx.Client) -> None:
    first, second = http.post(PATH, json=SHORT), http.post(PATH, json=SHORT)
    assert first.headers["etag"] == second.headers["etag"] and first.content == second.content
    for other in ({"seed": 1}, {"response_format": "wav"}, {"speed": 2}, {"input": "Eight birds."}, {"voice": "tone"}):
        assert http.post(PATH, json=SHORT | other).headers["etag"] != first.headers["etag"], other


def test_who_has_it_already_gets_it_not_again(http: httpx.Client) -> None:
    name = http.post(PATH, json=SHORT).headers["etag"]
    for given in (name, name.removeprefix("W/"), f'"other", {name}'):
        answer = http.post(PATH, json=SHORT, headers={"if-none-match": given})
        assert (answer.status_code, answer.content) == (304, b""), given
    for given in ('"other"', "*"):
        assert http.post(PATH, json=SHORT, headers={"if-none-match": given}).status_code == 200


@pytest.mark.parametrize("more", [{}, {"stream_format": "sse"}, {"stream": False}])
def test_an_answer_that_is_kept_is_given_again(server: TritonServer, tmp_path: Path, more: dict[str, Any]) -> None:
    with running(Settings(triton=server.grpc_url, cache=tmp_path)) as address, caller(address) as http:
        first = http.post(PATH, json=SHORT | more)
        until_kept(tmp_path)
        again = http.post(PATH, json=SHORT | more)
        assert again.content == first.content and again.headers["etag"] == first.headers["etag"]
        assert again.headers["content-type"] == first.headers["content-type"]
        assert again.headers["x-finish-reason"] == "length"
        assert "higgs_gateway_cached_answers_total 1.0" in http.get("/metrics").text


def until_kept(folder: Path) -> None:
    """An answer is kept once it was sent."""
    deadline = time.monotonic() + 30
    while not [file for file in folder.iterdir() if len(file.name) == 64]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("stream", [True, False])
def test_nobody_waits_for_the_disk(
    server: TritonServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    was_read, waited = threading.Event(), []

    def put(self: SpeechCache, key: str, kept: Kept) -> None:
        waited.append(was_read.wait(30))

    monkeypatch.setattr(SpeechCache, "put", put)
    with running(Settings(triton=server.grpc_url, cache=tmp_path)) as address, caller(address) as http:
        assert http.post(PATH, json=SHORT | {"stream": stream}).content
        was_read.set()
    assert waited == [True]


def test_what_was_not_heard_to_its_end_is_not_kept(server: TritonServer, tmp_path: Path) -> None:
    body = {"input": "Nine birds sing. " * 20, "runaway_guard": False}
    with (
        running(Settings(triton=server.grpc_url, cache=tmp_path)) as address,
        caller(address) as http,
        http.stream("POST", PATH, json=body) as answer,
    ):
        parts = answer.iter_raw()  # httpx hangs up when it is let go
        next(parts)
    assert not list(tmp_path.iterdir())


def test_the_folder_stays_below_its_limit_and_loses_the_oldest(tmp_path: Path) -> None:
    cache, kept = SpeechCache(tmp_path, 5000), Kept("audio/pcm", {}, bytes(1000))
    for number in range(20):
        cache.put(str(number), kept)
        assert cache.get("0") == kept, "it is asked for all the time"
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 5000
    assert cache.get("19") == kept and cache.get("1") is None


def test_a_damaged_file_is_no_answer(tmp_path: Path) -> None:
    cache = SpeechCache(tmp_path, 5000)
    cache.put("one", Kept("audio/pcm", {}, bytes(100)))
    whole = (tmp_path / "one").read_bytes()
    for content in (b"", b"\n", whole[:-1], b"[]\n", b"\xff" * 50, whole + b"x"):
        (tmp_path / "one").write_bytes(content)
        assert cache.get("one") is None, content


def test_another_meaning_of_a_name_is_another_answer(server: TritonServer) -> None:
    names = set()
    for alias in ("tone", "alloy"):
        settings = Settings(triton=server.grpc_url, aliases={"mine": alias}, cache=None)
        with running(settings) as address, caller(address) as http:
            names.add(http.post(PATH, json=SHORT | {"voice": "mine"}).headers["etag"])
            names.add(http.post(PATH, json=SHORT | {"voice": "tone"}).headers["etag"])
    assert len(names) == 1, "all mean the one voice there is"
