"""Speech that is stored while it is heard: over HTTP and over sockets, by whoever asks or by the operator's rule."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from higgs_tts.storage import Storage, Stored
from wyoming.audio import AudioChunk
from wyoming.event import read_event
from wyoming.tts import Synthesize

from gateway.settings import Settings
from serve.ports import Ports
from serve.triton import TritonServer
from tests.buckets import BUCKET, KEY_ID, Buckets
from tests.gateway import test_wyoming as wyoming
from tests.gateway.running import ANSWER_SECONDS, START_SECONDS, caller, running
from tests.gateway.sockets import MANY, ONE, VLLM, opened, rest, tell, until
from tests.gateway.test_leaving import LONG
from tests.gateway.test_wyoming import listening

PATH = "/v1/audio/speech"
ADDRESS = f"s3://{BUCKET}/heard"
SHORT: dict[str, Any] = {"input": "Nine birds.", "max_seconds": 0.4}
ASKS = SHORT | {"store": True, "session_id": "user:12"}
Speak = Callable[..., httpx.Response]


@pytest.fixture
def http(server: TritonServer, buckets: Buckets) -> Iterator[httpx.Client]:
    """A gateway that stores what is asked for."""
    with running(Settings(triton=server.grpc_url, store=ADDRESS)) as address, caller(address) as client:
        yield client


def stored(count: int) -> list[Stored]:
    """What is in the bucket, once it is so much; the oldest first."""
    storage, deadline = Storage(ADDRESS), time.monotonic() + 30
    while len(found := sorted(storage.names(), key=lambda one: one.name.rpartition("/")[2])) != count:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return [one for name in found if (one := storage.find(name.name)) is not None]


def read(one: Stored) -> bytes:
    return Storage(ADDRESS).read(one.name)


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data: ")]


def sound(answer: httpx.Response) -> bytes:
    return b"".join(base64.b64decode(one["audio"]) for one in events(answer) if "audio" in one)


@pytest.mark.parametrize("name", ["mp3", "pcm", "opus"])
def test_the_bytes_that_are_heard_are_stored(http: httpx.Client, name: str) -> None:
    answer = http.post(PATH, json=ASKS | {"response_format": name, "seed": 3}, headers={"x-request-id": "../7"})
    (one,) = stored(1)
    assert one.name.startswith("generated/user:12/") and one.name.endswith(f".{name}")
    assert answer.headers["x-stored"] == f"{ADDRESS}/{one.name}" and read(one) == answer.content
    with urllib.request.urlopen(answer.headers["x-stored-url"]) as file:
        assert file.read() == answer.content
    told = dict(one.metadata)
    assert told.pop("bundle")
    assert json.loads(told.pop("options")) == {"seed": 3, "max_seconds": 0.4}
    assert told == {
        "finish-reason": "length",
        "audio-seconds": "0.400",
        "text-sha256": hashlib.sha256(b"Nine birds.").hexdigest(),
        "seed": "3",
        "model": "higgs-audio-v2",
        "format": name,
        "sample-rate": "24000",
        "speed": "1",
        "request-id": "../7",
        "session-id": "user:12",
    }


def test_a_whole_answer_and_the_last_event_say_that_it_was_stored(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.PATIENCE_SECONDS", 60.0)
    whole = http.post(PATH, json=ASKS | {"stream": False, "response_format": "wav"})
    assert whole.headers["x-was-stored"] == "true" and "x-stored-error" not in whole.headers
    (wav,) = stored(1)
    data = read(wav)
    assert data[44:] == whole.content[44:] and int.from_bytes(data[40:44], "little") == len(data) - 44
    told = http.post(PATH, json=ASKS | {"stream_format": "sse", "voice": "tone", "speed": 2})
    done = events(told)[-1]
    assert (done["type"], done["stored"], "stored_error" in done) == ("speech.audio.done", True, False)
    assert done["finish_reason"] == "length" and done["report"]
    _, mp3 = stored(2)
    assert done["stored_address"] == told.headers["x-stored"] == f"{ADDRESS}/{mp3.name}"
    assert read(mp3) == sound(told) and httpx.get(done["stored_url"]).content == sound(told)
    assert (mp3.metadata["voice"], mp3.metadata["audio-seconds"], mp3.metadata["speed"]) == ("tone", "0.200", "2")


def test_only_what_is_asked_for_is_stored(http: httpx.Client) -> None:
    for body in (SHORT, SHORT | {"store": False}, SHORT | {"session_id": "a"}):
        assert "x-stored" not in http.post(PATH, json=body).headers
    http.post(PATH, json=SHORT | {"store": True}, headers={"x-request-id": "mine"})
    (one,) = stored(1)
    assert one.name.startswith("generated/mine/") and one.metadata["session-id"] == "mine"


def test_by_the_operators_rule_all_is(server: TritonServer, buckets: Buckets) -> None:
    settings = Settings(
        triton=server.grpc_url,
        store=ADDRESS,
        store_rule="all",
        store_name="{key}/{voice}/{date}/{random}.{format}",
        store_url_seconds=0,
    )
    with running(settings) as address, caller(address) as http:
        answer = http.post(PATH, json=SHORT | {"voice": "tone"})
        assert "x-stored-url" not in answer.headers
        assert "x-stored" not in http.post(PATH, json=SHORT | {"store": False}).headers
        timed = http.post("/v1/text-to-speech/tone/stream/with-timestamps", json={"text": "Nine birds."})
        (first, second) = sorted(stored(2), key=lambda one: answer.headers["x-stored"].endswith(one.name), reverse=True)
    assert (
        first.name.startswith(f"anybody/tone/{time.strftime('%Y-', time.gmtime())}") and read(first) == answer.content
    )
    lines = [json.loads(line)["audio_base64"] for line in timed.text.splitlines()]
    assert read(second) == b"".join(map(base64.b64decode, lines))


def test_who_asks_where_there_is_no_store_is_refused(server: TritonServer) -> None:
    with running(Settings(triton=server.grpc_url)) as address, caller(address) as http:
        refused = http.post(PATH, json=ASKS)
        assert refused.status_code == 400 and refused.json()["error"]["param"] == "store"
        assert "--store" in refused.json()["error"]["message"]
        assert http.post(PATH, json=ASKS | {"store": False, "strict": True}).is_success
        with opened(address, VLLM, {"type": "session.config", "store": True}) as connection:
            (told,) = until(connection, type="error")
            assert isinstance(told, dict) and told["param"] == "store"


@pytest.mark.parametrize("given", ["../up", "/", "a/b", "a\nb", "", ".", "ü", "x" * 10_240, 7, ["a"]])
def test_a_session_that_is_no_name_is_refused(http: httpx.Client, given: Any) -> None:
    refused = http.post(PATH, json=ASKS | {"session_id": given})
    assert refused.status_code == 400 and refused.json()["error"]["param"] == "session_id"
    assert len(refused.json()["error"]["message"]) < 500


@pytest.mark.parametrize("stream_format", ["audio", "sse"])
def test_an_answer_that_was_kept_is_stored_too(
    server: TritonServer, buckets: Buckets, tmp_path: Path, stream_format: str
) -> None:
    body = ASKS | {"stream_format": stream_format}
    settings = Settings(triton=server.grpc_url, store=ADDRESS, cache=tmp_path)
    with running(settings) as address, caller(address) as http:
        first = http.post(PATH, json=body)
        while not [file for file in tmp_path.iterdir() if len(file.name) == 64]:
            time.sleep(0.02)
        again = http.post(PATH, json=body, headers={"if-none-match": first.headers["etag"]})
        assert "higgs_gateway_cached_answers_total 1.0" in http.get("/metrics").text
        plain = http.post(PATH, json=body | {"store": False})
    one, two = stored(2)
    assert read(one) == read(two) and one.metadata.keys() == two.metadata.keys()
    assert {**one.metadata, "request-id": ""} == {**two.metadata, "request-id": ""}
    assert again.headers["x-stored"] == f"{ADDRESS}/{two.name}" != first.headers["x-stored"]
    assert "x-stored" not in plain.headers and "stored" not in plain.text
    if stream_format == "sse":
        assert events(again)[-1]["stored_address"] == again.headers["x-stored"]
        assert sound(again) == sound(first) == read(two)
    else:
        assert again.content == first.content == read(two)


def test_who_leaves_half_way_leaves_nothing(http: httpx.Client) -> None:
    with http.stream("POST", PATH, json={"input": LONG, "store": True, "runaway_guard": False}) as answer:
        parts = answer.iter_raw()
        next(parts)
    deadline = time.monotonic() + 30
    while 'higgs_gateway_stored_total{outcome="dropped"} 1.0' not in (page := http.get("/metrics").text):
        assert time.monotonic() < deadline, page
        time.sleep(0.05)
    assert "higgs_gateway_store_waiting_bytes 0.0" in page
    stored(0)


def test_a_frozen_bucket_harms_no_speech(
    server: TritonServer, buckets: Buckets, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway.store.RETRY_SECONDS", 3.0)
    with (
        caplog.at_level(logging.INFO),
        running(Settings(triton=server.grpc_url, store=ADDRESS, store_rule="all")) as address,
        caller(address) as http,
    ):
        calm = {seed: http.post(PATH, json=SHORT | {"seed": seed, "store": False}).content for seed in range(6)}
        buckets.open_gate.clear()
        for seed, whole in calm.items():
            assert http.post(PATH, json=SHORT | {"seed": seed}).content == whole
        told = http.post(PATH, json=SHORT | {"stream_format": "sse"})
        assert sound(told) == calm[0]
        assert (events(told)[-1]["stored"], events(told)[-1]["stored_error"]) == (
            False,
            "The store has not answered yet.",
        )
        answer = http.post(PATH, json=SHORT | {"stream": False})
        assert (answer.content, answer.headers["x-was-stored"]) == (calm[0], "false")
        deadline = time.monotonic() + 60
        while 'higgs_gateway_stored_total{outcome="failed"} 8.0' not in http.get("/metrics").text:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        buckets.open_gate.set()
        monkeypatch.setattr("gateway.store.PATIENCE_SECONDS", 60.0)
        assert http.post(PATH, json=SHORT | {"stream": False}).headers["x-was-stored"] == "true"
    said = [one.getMessage() for one in caplog.records if "was not stored" in one.getMessage()]
    assert len(said) == 8 and all("no answer in time" in line for line in said)
    everything = "\n".join(one.getMessage() for one in caplog.records)
    assert "x-amz" not in everything.lower() and KEY_ID not in everything


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_stop_lets_uploads_end_within_the_time_to_drain(
    server: TritonServer, buckets: Buckets, comes_back: bool
) -> None:
    port = Ports.free().http
    options = ["--port", str(port), "--store", ADDRESS, "--drain", "60" if comes_back else "2"]
    command = [sys.executable, "-m", "gateway", "--triton", server.grpc_url, *options]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
        caller(f"http://127.0.0.1:{port}") as http,
    ):
        deadline = time.monotonic() + START_SECONDS
        while not is_up(http):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        buckets.open_gate.clear()
        assert http.post(PATH, json=ASKS).is_success
        process.terminate()
        time.sleep(1)
        if comes_back:
            buckets.open_gate.set()
        process.wait(ANSWER_SECONDS)
        assert process.stdout is not None
        assert ("was not stored" in process.stdout.read()) != comes_back
    buckets.open_gate.set()
    if comes_back:
        stored(1)


def is_up(http: httpx.Client) -> bool:
    try:
        return http.get("/health/live").is_success
    except httpx.TransportError:
        return False


def test_sockets_store_what_they_speak(server: TritonServer, buckets: Buckets) -> None:
    settings = Settings(triton=server.grpc_url, store=ADDRESS, store_rule="all")
    with running(settings) as address:
        text = "Nine birds sing. They fly away. "
        with opened(address, f"{ONE}?output_format=pcm_24000", {"text": text}, {"text": ""}) as connection:
            told = [message for message in rest(connection)[0] if isinstance(message, dict)]
        (one,) = stored(1)
        heard = b"".join(base64.b64decode(message["audio"] or "") for message in told)
        assert read(one) == heard and told[-1]["stored_addresses"] == [f"{ADDRESS}/{one.name}"]
        assert one.metadata["text-sha256"] == hashlib.sha256(text.encode()).hexdigest()
        assert float(one.metadata["audio-seconds"]) == pytest.approx(len(heard) / 48_000, abs=1e-3)
        context = {"context_id": "../a b"}
        with opened(address, MANY, {"text": "Nine birds.", "flush": True, **context}) as connection:
            tell(connection, {"close_context": True, **context})
            until(connection, isFinal=True)
        _, two = stored(2)
        assert two.name.startswith("generated/_/") or ("/_" in two.name and ".." not in two.name.split("/"))
        assert two.metadata["session-id"] == "../a b" and two.metadata["voice"] == "tone"


def test_a_socket_may_ask_and_each_file_is_stored_by_itself(server: TritonServer, buckets: Buckets) -> None:
    config = {"type": "session.config", "store": True, "session_id": "s", "split_granularity": "sentence"}
    with running(Settings(triton=server.grpc_url, store=ADDRESS)) as address:
        with opened(address, VLLM, config, {"type": "input.text", "text": "Nine birds sing. They fly away."}) as line:
            tell(line, {"type": "input.done"})
            messages = until(line, type="session.done")
        files = [message for message in messages if isinstance(message, bytes)]
        parts = stored(len(files))
        assert len(files) == 2 and [read(one)[44:] for one in parts] == [file[44:] for file in files]
        assert messages[-1]["stored_addresses"] == [f"{ADDRESS}/{one.name}" for one in parts]
        for one, file in zip(parts, files, strict=True):
            assert float(one.metadata["audio-seconds"]) == pytest.approx((len(file) - 44) / 48_000, abs=1e-3)
            assert one.metadata["session-id"] == "s"


def test_wyoming_stores_by_the_rule(server: TritonServer, buckets: Buckets) -> None:
    heard = b""
    with listening(server, store=ADDRESS, store_rule="all") as (_, line), line.makefile("rb") as file:
        wyoming.tell(line, Synthesize("Nine birds.").event())
        while (event := read_event(file)) is not None and event.type != "audio-stop":
            heard += AudioChunk.from_event(event).audio if AudioChunk.is_type(event.type) else b""
        (one,) = stored(1)
    assert heard and read(one) == heard and one.metadata["format"] == "pcm"
