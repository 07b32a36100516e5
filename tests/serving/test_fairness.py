"""Long streams beside others: a short request is heard, deadlines are kept, and clients without a watch are missed."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from higgs_tts import GenerationParams, GenerationTimeoutError, HiggsClient

from serve.triton import TritonServer
from tests.serve.launching import wait_for
from tests.serving import lasting
from tools.bench.metrics import metrics

OTHERS = 10


@pytest.fixture(scope="module")
def busy(bundle: Path) -> Iterator[TritonServer]:
    """A server that speaks ten long streams."""
    with TritonServer(bundle) as server, HiggsClient(server.grpc_url, chunk_timeout=120.0) as client:
        streams = [client.stream(lasting.TEXT, params=lasting.PARAMS) for _ in range(OTHERS)]
        listeners = [threading.Thread(target=list, args=(stream,)) for stream in streams]
        for listener in listeners:
            listener.start()
        wait_for(lambda: metrics(server.metrics_url)["higgs_live_streams"] == OTHERS, 30)
        yield server
        for stream in streams:
            stream.cancel()
        for listener in listeners:
            listener.join(30)
    assert "Found 0 model versions that have in-flight inferences" in server.log.read_text()


def test_a_deadline_holds_from_arrival_to_the_last_sample(busy: TritonServer) -> None:
    limited = replace(lasting.PARAMS, timeout_seconds=2.0)
    with HiggsClient(busy.grpc_url) as client:
        started = time.monotonic()
        with pytest.raises(GenerationTimeoutError, match="time limit passed"):
            client.synthesize(lasting.TEXT, params=limited)
        assert time.monotonic() - started < 10.0, "the codec's queue alone is longer"


def test_a_short_request_is_heard_and_the_metrics_see_the_queue(busy: TritonServer) -> None:
    page = metrics(busy.metrics_url)
    assert {"higgs_codec_waiting_windows", "higgs_late_streams", "higgs_resting_streams"} <= page.keys()
    wait_for(lambda: metrics(busy.metrics_url)["higgs_codec_waiting_windows"] > 0, 30)
    with HiggsClient(busy.grpc_url) as client:
        assert client.synthesize("Short.", params=GenerationParams(max_seconds=0.4), timeout=20.0).seconds > 0


def test_clients_without_a_watch_are_missed_within_seconds(busy: TritonServer) -> None:
    cancelled = metrics(busy.metrics_url)["higgs_cancelled_total"]
    body = json.dumps({"text": lasting.TEXT, "options": json.dumps(lasting.PARAMS.to_options())})
    host, port = busy.http_url.rsplit(":", 1)
    for _ in range(3):
        with socket.create_connection((host, int(port))) as connection:
            head = f"POST /v2/models/higgs_audio_v2/generate_stream HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
            connection.sendall(f"{head}\r\n\r\n{body}".encode())
            assert connection.recv(1024).startswith(b"HTTP/1.1 200")
    wait_for(lambda: metrics(busy.metrics_url)["higgs_cancelled_total"] == cancelled + 3, 15)
