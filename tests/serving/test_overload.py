"""A server with two streams and one place to wait: what fits is served, the rest is told to come back."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from higgs_tts import GenerationParams, HiggsClient, OverloadedError, Speech

from build.exports import Exports
from build.interpreter import Interpreter
from build.manifest import write_manifest
from build.repository import assemble
from build.targets import load_target
from gateway.settings import Settings
from serve.manifest import MANIFEST_FILE
from serve.triton import TritonServer
from tests.gateway.running import caller, running


@pytest.fixture
def small_server(bundle: Path, tmp_path: Path) -> Iterator[TritonServer]:
    target = replace(load_target("cpu"), max_streams=2, max_waiting=1)
    exports = Exports.read(bundle / "exports")
    assemble(exports, target, None, tmp_path / "model_repository", "small")
    write_manifest(tmp_path / MANIFEST_FILE, tmp_path / "model_repository", exports, target, "small", Interpreter())
    with TritonServer(tmp_path) as running:
        yield running


def test_a_full_queue_refuses_and_the_others_are_served(small_server: TritonServer) -> None:
    params = GenerationParams(seed=1, max_seconds=3.0, runaway_guard=False)

    def speak(client: HiggsClient) -> Speech | OverloadedError:
        try:
            return client.synthesize("A crowd arrives at once.", params=params)
        except OverloadedError as error:
            return error

    with HiggsClient(small_server.grpc_url) as client:
        with ThreadPoolExecutor(12) as pool:
            outcomes = list(pool.map(lambda _: speak(client), range(12)))
        refused = [outcome for outcome in outcomes if isinstance(outcome, OverloadedError)]
        served = [outcome for outcome in outcomes if isinstance(outcome, Speech)]
        assert len(served) >= 3, "two streams and one place to wait"
        assert refused, "twelve at once cannot all be served"
        assert all(1 <= (error.retry_after or 0) <= 60 for error in refused)
        assert all(speech.finish_reason in ("length", "stop") for speech in served)
        assert client.synthesize("Quiet again.", params=params).seconds > 0
    with running(Settings(triton=small_server.grpc_url)) as address, caller(address) as http:
        body = {"input": "A crowd arrives at once.", "max_seconds": 3.0, "runaway_guard": False, "stream": False}
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda _: http.post("/v1/audio/speech", json=body), range(12)))
    assert {answer.status_code for answer in answers} == {200, 429}
    assert {answer.json()["error"]["type"] for answer in answers if answer.is_error} == {"rate_limit_error"}
    assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in answers if answer.is_error)
    assert small_server.stop() < 10
    assert "Found 0 model versions that have in-flight inferences" in small_server.log.read_text()
