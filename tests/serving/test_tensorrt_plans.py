"""The codec behind Triton models of its own, as TensorRT plans are served: same audio, same clean ends."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from higgs_tts import GenerationParams, HiggsClient, MemoryExhaustionError, Reference
from tritonclient.grpc import model_config_pb2

from build.exports import Exports
from build.repository import assemble
from build.targets import load_target
from serve.triton import TritonServer
from tests.serve.small import write_manifest
from tests.serving import test_cancel
from tests.serving.models import infer, whole_window
from tests.serving.tensorrt_plans import make_plan_bundle
from tools.bench.metrics import metrics

GREEDY = GenerationParams(temperature=0.0, ras_window=0, max_seconds=3.0, runaway_guard=False)


@pytest.fixture(scope="module")
def plan_bundle(bundle: Path, voices: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_plan_bundle(Exports.read(bundle / "exports"), voices, tmp_path_factory.mktemp("plans") / "bundle")


@pytest.fixture(scope="module")
def plan_server(plan_bundle: Path) -> Iterator[TritonServer]:
    with TritonServer(plan_bundle) as running:
        yield running


def test_speech_is_the_one_of_the_networks_in_the_python_models(
    client: HiggsClient, plan_server: TritonServer, clip: np.ndarray
) -> None:
    for reference in (None, Reference((clip, 24000), "A tone that glides.")):
        expected = client.synthesize("Either way.", reference=reference, params=GREEDY)
        with HiggsClient(plan_server.grpc_url) as other:
            speech = other.synthesize("Either way.", reference=reference, params=GREEDY)
        np.testing.assert_array_equal(speech.samples, expected.samples)
        assert expected.samples.std() > 0.01
    asked = metrics(plan_server.metrics_url)
    assert asked['nv_inference_request_success{model="codec_decoder_plan",version="1"}'] > 0
    assert asked['nv_inference_request_success{model="codec_encoder_plan",version="1"}'] == 1


def decoded_by(server: TritonServer, codes: np.ndarray) -> np.ndarray:
    values = {"codes": codes, "window": whole_window(codes)}
    return infer(server.grpc_url, "codec_decoder", values, ["audio"])["audio"]


def test_windows_that_wait_together_share_a_call(server: TritonServer, plan_server: TritonServer) -> None:
    """Long windows, so that the others arrive while the first is being decoded."""
    name = '{model="codec_decoder_plan",version="1"}'
    windows = np.random.default_rng(0).integers(0, 1024, (12, 1, 8, 150)).astype(np.int32)

    def decode(codes: np.ndarray) -> np.ndarray:
        return infer(plan_server.grpc_url, "codec_decoder", {"codes": codes, "window": whole_window(codes)}, ["audio"])[
            "audio"
        ]

    time.sleep(0.6)  # Triton renews its metrics four times a second
    before = metrics(plan_server.metrics_url)
    with ThreadPoolExecutor(len(windows)) as pool:
        decoded = list(pool.map(decode, windows))
    time.sleep(0.6)
    after = metrics(plan_server.metrics_url)
    calls, rows = (
        after[f"nv_inference_{count}{name}"] - before[f"nv_inference_{count}{name}"]
        for count in ("request_success", "count")
    )
    assert rows == len(windows)
    assert calls < rows
    for codes, samples in zip(windows[:2], decoded, strict=False):
        expected = infer(server.grpc_url, "codec_decoder", {"codes": codes, "window": whole_window(codes)}, ["audio"])[
            "audio"
        ]
        np.testing.assert_allclose(samples, expected, atol=1e-4 * expected.std())


def test_a_plan_that_refuses_is_named_to_the_client_and_hurts_nobody_else(plan_server: TritonServer) -> None:
    """A batch above the plan's is the kind of refusal Triton itself gives."""
    with pytest.raises(Exception, match="batch-size"):
        infer(plan_server.grpc_url, "codec_decoder_plan", {"codes": np.zeros((17, 8, 3), np.int32)}, ["audio"])
    with HiggsClient(plan_server.grpc_url) as client:
        assert client.synthesize("Still here.", params=GREEDY).seconds > 0


def test_clients_that_vanish_leave_nothing_behind(plan_bundle: Path) -> None:
    with TritonServer(plan_bundle) as own_server:
        test_cancel.test_a_killed_client_frees_its_slot_and_the_server_still_stops_cleanly(own_server)


def test_a_plan_that_fails_is_an_error_of_the_streams_that_needed_it(plan_bundle: Path, tmp_path: Path) -> None:
    broken = make_broken(plan_bundle, tmp_path / "bundle")
    with TritonServer(broken) as server, HiggsClient(server.grpc_url) as client:
        for _ in range(2):
            with pytest.raises(MemoryExhaustionError, match=r"could not decode a window: .*out of memory"):
                client.synthesize("Nobody hears this.", params=GREEDY)
        assert server.ailment() is None


def make_broken(bundle: Path, folder: Path) -> Path:
    shutil.copytree(bundle, folder, ignore=shutil.ignore_patterns("*.log*"))
    model = folder / "model_repository" / "codec_decoder_plan" / "1" / "model.py"
    model.write_text(model.read_text().replace("outputs = ", 'raise RuntimeError("out of memory"); outputs = '))
    write_manifest(folder)
    return folder


def test_the_plans_configs_come_from_the_checkpoint_and_the_target(bundle: Path, voices: Path, tmp_path: Path) -> None:
    exports, target = Exports.read(bundle / "exports"), load_target("h100")
    engines = tmp_path / "engines"
    for folder, files in (
        ("lm", ("engine/rank0.engine", "engine/config.json", "step.json")),
        ("codec", ("decoder.plan", "encoder.plan")),
    ):
        for file in files:
            (engines / folder / file).parent.mkdir(parents=True, exist_ok=True)
            (engines / folder / file).write_text(file)
    repository = tmp_path / "repository"
    assemble(exports, target, voices, repository, "plans", engines)

    def config(model: str) -> model_config_pb2.ModelConfig:
        return text_format.Parse((repository / model / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())

    decoder, encoder = config("codec_decoder_plan"), config("codec_encoder_plan")
    assert decoder.max_batch_size == target.max_decode_batch == 32
    assert list(decoder.input[0].dims) == [8, -1]
    assert decoder.HasField("dynamic_batching")
    assert list(encoder.output[0].dims) == [8, -1]
    weights = repository / "lm" / "1" / "weights"
    placed = {str(file.relative_to(weights)) for file in weights.rglob("*") if file.is_file()}
    assert placed == {"engine/rank0.engine", "engine/config.json", "lm.json"}
    assert not list(repository.rglob("*.onnx"))
    settings = json.loads((repository / "lm" / "1" / "settings.json").read_text())
    assert settings["engine"] == "tensorrt-llm"
    assert settings["limits"]["max_streams"] == target.max_streams
