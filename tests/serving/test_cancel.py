"""Clients that go away: politely, suddenly, a hundred times. The server frees what they held and stops cleanly."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
from higgs_tts import GenerationParams, HiggsClient

from serve.triton import TritonServer
from tests.serve.launching import wait_for
from tests.serving import lasting
from tests.serving.models import stream
from tools.bench.metrics import metrics

VANISHED = 12  # clients killed in mid-stream; short chunks keep windows of theirs under way at any moment
VANISHING = """
import sys, time
from dataclasses import replace
from higgs_tts import HiggsClient
from tests.serving.lasting import PARAMS, TEXT
print("ready", flush=True)
sys.stdin.readline()
stream = HiggsClient(sys.argv[1]).stream(TEXT, params=replace(PARAMS, max_chunk_seconds=0.2))
next(stream)
print("speaking", flush=True)
time.sleep(60)
"""


@pytest.fixture
def own_server(bundle: Path) -> Iterator[TritonServer]:
    """A server nobody else uses, to be counted and stopped."""
    with TritonServer(bundle) as running:
        yield running


def idle(server: TritonServer) -> bool:
    page = metrics(server.metrics_url)
    return page["higgs_live_streams"] == 0 and page["higgs_waiting_requests"] == 0


def drained(server: TritonServer) -> bool:
    """Whether no window is on its way any more. Told to stop, Triton starts no further step of an ensemble: windows
    still under way would wait until its exit timeout, which is not what these tests are about."""
    passed = 'nv_inference_request_success{model="codec_decoder",version="1"}'
    before = metrics(server.metrics_url)[passed]
    time.sleep(0.6)
    return metrics(server.metrics_url)[passed] == before


def test_a_hundred_cancelled_streams_leave_nothing_behind(
    own_server: TritonServer, figure: Callable[[str, str], None]
) -> None:
    with HiggsClient(own_server.grpc_url) as client:
        for _ in range(10):  # memory is measured once everything has been used
            abandon(client)
        before = own_server.memory_bytes()
        for _ in range(100):
            abandon(client)
        # The page follows the engine within a quarter of a second.
        wait_for(lambda: metrics(own_server.metrics_url)["higgs_cancelled_total"] == 110, 5)
        assert idle(own_server)
        growth = own_server.memory_bytes() - before
        assert growth < 20 * 2**20, f"memory grew by {growth / 2**20:.1f} MiB over 100 cancelled streams"
        assert client.synthesize("Still here.", params=GenerationParams(max_seconds=0.4)).seconds > 0
    wait_for(lambda: drained(own_server), 10)
    seconds = own_server.stop()
    assert seconds < 10
    figure("100 cancelled streams", f"memory grew by {growth / 2**20:.1f} MiB, the server stopped in {seconds:.1f} s")
    assert "Found 0 model versions that have in-flight inferences" in own_server.log.read_text()


def abandon(client: HiggsClient) -> None:
    with client.stream(lasting.TEXT, params=lasting.PARAMS) as left:
        next(left)


def test_a_killed_client_frees_its_slot_and_the_server_still_stops_cleanly(own_server: TritonServer) -> None:
    command = [sys.executable, "-c", VANISHING, own_server.grpc_url]
    pipe = subprocess.PIPE
    clients = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(VANISHED)]

    def wait_until_all_say(line: str) -> None:
        for process in clients:
            assert process.stdout is not None
            assert process.stdout.readline() == f"{line}\n"

    # They speak together: the first one's speech might end while the last one still starts.
    wait_until_all_say("ready")
    for process in clients:
        print(file=process.stdin, flush=True)
    wait_until_all_say("speaking")
    wait_for(lambda: metrics(own_server.metrics_url)["higgs_live_streams"] == VANISHED, 5)
    for process in clients:
        process.send_signal(signal.SIGKILL)
    for process in clients:
        process.wait()
    wait_for(lambda: metrics(own_server.metrics_url)["higgs_cancelled_total"] == VANISHED, 3)
    assert idle(own_server)
    wait_for(lambda: drained(own_server), 10)
    assert own_server.stop() < 10
    assert "Found 0 model versions that have in-flight inferences" in own_server.log.read_text()


def test_a_cancelled_stream_says_so_and_others_go_on(client: HiggsClient) -> None:
    other = client.stream("I keep speaking.", params=GenerationParams(seed=2, max_seconds=3.0, runaway_guard=False))
    cut = client.stream(lasting.TEXT, params=lasting.PARAMS)
    next(cut)
    cut.cancel()
    reasons = [chunk.finish_reason for chunk in cut]
    assert reasons[-1] == "cancelled"
    assert [chunk.finish_reason for chunk in other][-1] in ("length", "stop")


def test_nobody_ends_a_stream_by_guessing_its_id_and_a_short_one_is_nobodys_alone(server: TritonServer) -> None:
    options = json.dumps(replace(lasting.PARAMS, max_seconds=100.0).to_options())
    values, url = {"text": lasting.TEXT, "options": options}, server.grpc_url
    with ThreadPoolExecutor() as pool:
        streams = [pool.submit(stream, url, "higgs_audio_v2", values, ["finish_reason"], "1") for _ in range(2)]
        wait_for(lambda: metrics(server.metrics_url)["higgs_live_streams"] == 2, 5)
        for control in ("cancel", "watch"):
            assert stream(url, "lm", {"control": control}, [], "1") == [], "as if there were no such stream"
        assert [answers.result()[-1]["finish_reason"].item() for answers in streams] == [b"length"] * 2


def test_watches_without_streams_are_limited_and_the_oldest_go_first(own_server: TritonServer, bundle: Path) -> None:
    limits = json.loads((bundle / "model_repository" / "lm" / "1" / "settings.json").read_text())["limits"]
    most, more = 2 * (limits["max_streams"] + limits["max_waiting"]), 50
    control = triton_grpc.InferInput("control", [1], "BYTES")
    control.set_data_from_numpy(np.array([b"watch"], object))
    ended: list[str] = []
    with triton_grpc.InferenceServerClient(own_server.grpc_url) as connection:
        connection.start_stream(lambda result, error: result and ended.append(result.get_response().id))
        for number in range(most + more):
            connection.async_stream_infer("lm", [control], request_id=f"{number:032}", enable_empty_final_response=True)
            if number % 50 == 0:  # all at once, Triton's Python backend stopped answering, one time in thirty
                time.sleep(0.02)
        wait_for(lambda: len(ended) >= more, 30)
        time.sleep(0.2)
        assert sorted(ended) == [f"{number:032}" for number in range(more)]
        connection.stop_stream(cancel_requests=True)
    with HiggsClient(own_server.grpc_url) as client:
        assert client.synthesize("Still here.", params=GenerationParams(max_seconds=0.4)).seconds > 0
