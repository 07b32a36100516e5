"""Under a memory limit, requests are refused in a sentence, and served again when there is room."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from higgs_tts import GenerationParams, HiggsClient, MemoryExhaustionError

from runtime.triton.memory import MEMORY_VARIABLE
from serve.triton import TritonServer
from tests.serve.launching import wait_for
from tests.serving.test_health import stub
from tools.bench.metrics import metrics

BRIEF = GenerationParams(max_seconds=0.4)


@pytest.fixture(scope="module")
def frugal(bundle: Path) -> Iterator[TritonServer]:
    """A server with the thresholds that operators have by default."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(MEMORY_VARIABLE)
        with TritonServer(bundle) as server:
            yield server


@contextmanager
def limited(one: psutil.Process, used: float) -> Iterator[None]:
    """A limit on the address space of a process that is used so far."""
    one.rlimit(resource.RLIMIT_AS, (int(one.memory_info().vms / used), resource.RLIM_INFINITY))
    try:
        yield
    finally:
        one.rlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_nothing_is_begun_without_memory_and_all_is_well_again_afterwards(frugal: TritonServer) -> None:
    with HiggsClient(frugal.grpc_url, resume=False) as client:
        with limited(stub(frugal, "prompt"), used=0.95):
            with pytest.raises(MemoryExhaustionError, match="so nothing is begun; try again in 5 s") as refusal:
                client.synthesize("Short.", params=BRIEF)
            assert refusal.value.retryable
        with limited(stub(frugal, "prompt"), used=0.85):
            assert client.synthesize("Short.", params=BRIEF).seconds > 0
            with pytest.raises(MemoryExhaustionError, match="so nothing of more than 1000 frames is begun"):
                client.synthesize("A long text, which goes on. " * 40, params=BRIEF)
        assert client.synthesize("A long text, which goes on. " * 40, params=BRIEF).seconds > 0


def test_caches_are_given_back_when_memory_is_short(frugal: TritonServer) -> None:
    with HiggsClient(frugal.grpc_url) as client:
        client.synthesize("It is kept for later prompts.", params=BRIEF)
        wait_for(lambda: metrics(frugal.metrics_url)["higgs_prefix_cache_bytes"] > 0, 5)
        with limited(stub(frugal, "lm"), used=0.85):
            wait_for(lambda: metrics(frugal.metrics_url)["higgs_prefix_cache_bytes"] == 0, 5)
            assert metrics(frugal.metrics_url)["higgs_memory_used_ratio"] > 0.8
        assert client.synthesize("It is spoken all the same.", params=BRIEF).seconds > 0
