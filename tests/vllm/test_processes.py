"""vLLM's core and workers in processes of their own: one worker, two that share the model, and a worker's death."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from runtime.engine.contract import SpeechEngine
from runtime.engine.vllm.engine import VllmEngine
from runtime.formats.errors import RequestError
from tests.engine.orders import ENDLESS, collect, order
from tests.vllm.conftest import IN_PROCESS, started
from tests.vllm.requests import answers, equal, mixed

pytestmark = pytest.mark.long

STREAMS = 16  # in eight places
SECONDS = 10  # for streams to be told that nobody speaks them any more


@pytest.fixture(scope="module")
def expected(ours: SpeechEngine) -> list[np.ndarray]:
    return [answers(ours, [request])[0] for request in mixed(STREAMS)]


@pytest.fixture(scope="module", params=[1, 2], ids=["one worker", "two workers"])
def apart(weights: Path, request: pytest.FixtureRequest) -> Iterator[VllmEngine]:
    with started(weights, options=replace(IN_PROCESS, own_process=True, tensor_parallel=request.param)) as running:
        yield running


def test_codes_are_the_same_whoever_computes_them(apart: VllmEngine, expected: list[np.ndarray]) -> None:
    assert equal([answers(apart, [request])[0] for request in mixed(4)], expected[:4]) == 4
    assert equal(answers(apart, mixed(STREAMS)), expected) == STREAMS


def test_a_dead_worker_is_an_error_for_its_streams_in_seconds(apart: VllmEngine) -> None:
    """The last test of its engine. The `lm` model ends its process then, and the launcher starts it again."""
    streams = [collect(apart, order(f"{number}", frames=900, sampling=ENDLESS)) for number in range(12)]
    while not all(events for events, _ in streams[:8]):
        time.sleep(0.001)
    assert apart.broken is None
    alive = [one for one in psutil.Process().children(recursive=True) if one.status() != psutil.STATUS_ZOMBIE]
    *_, worker = (one for one in alive if "spawn_main" in " ".join(one.cmdline()))
    worker.kill()  # the core's own child
    deadline = time.monotonic() + SECONDS
    for events, over in streams:
        assert over.wait(max(0.0, deadline - time.monotonic()))
        assert isinstance(events[-1], RequestError)
    assert apart.broken is not None
    with pytest.raises(RequestError):
        apart.submit(order("after"), lambda event: None)
