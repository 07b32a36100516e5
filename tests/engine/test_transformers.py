"""Greedy codes equal those of transformers' `generate`, in every engine: here ONNX Runtime's, in tests/vllm vLLM's."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtime.engine.contract import SpeechEngine
from runtime.engine.inflight.engine import Engine
from runtime.engine.inflight.onnx_runner import OnnxRunner
from tests.engine.orders import ENDLESS, LIMITS, SAMPLING, codes, order
from tests.serving.higgs import TEXT, WORDS, Higgs
from tools.bench.listening import listen

pytestmark = pytest.mark.slow

EIGHT = replace(LIMITS, max_streams=8)
FRAMES, PATIENCE = 120, 300.0  # seconds; eight streams on a busy core


@pytest.fixture(scope="module")
def eight(bundle: Path) -> Iterator[SpeechEngine]:
    """An engine of eight places."""
    weights = bundle / "model_repository" / "lm" / "1" / "weights"
    running = Engine(OnnxRunner(weights, EIGHT.max_streams, EIGHT.max_positions, threads=2), EIGHT)
    yield running
    running.close()


@contextmanager
def seven_others(engine: SpeechEngine) -> Iterator[list[str]]:
    """Seven that keep joining and leaving; the names of those that have left."""
    over, left = threading.Event(), []

    def visitor(number: int) -> None:
        random = np.random.default_rng(number)
        for visit in itertools.count():
            if over.is_set():
                return
            sampling = replace(SAMPLING, seed=visit)
            frames, name = int(random.integers(2, 30)), f"{number}.{visit}"
            list(listen(engine, order(name, 20 + number, frames, sampling=sampling, timeout=PATIENCE)))
            left.append(name)

    threads = [threading.Thread(target=visitor, args=(number,)) for number in range(7)]
    for thread in threads:
        thread.start()
    try:
        yield left
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("cloned", [False, True], ids=["no reference", "reference clip"])
@pytest.mark.parametrize("company", [False, True], ids=["alone", "among seven"])
def test_greedy_codes_equal_transformers(
    eight: SpeechEngine,
    higgs: Higgs,
    clip: np.ndarray,
    cloned: bool,
    company: bool,
    figure: Callable[[str, str], None],
) -> None:
    expected = higgs.generate(FRAMES, TEXT, clip if cloned else None, WORDS)
    assert expected.codes.shape[1] >= FRAMES - 20, "too short to mean much"
    request = order("subject", frames=FRAMES, sampling=ENDLESS, timeout=PATIENCE)
    request = replace(request, prompt=higgs.prompt(expected))
    if company:
        with seven_others(eight) as left:
            before = len(left)
            spoken = codes(list(listen(eight, request)))
            assert len(left) - before >= 14, "the others must join and leave while the stream runs"
    else:
        spoken = codes(list(listen(eight, request)))
    np.testing.assert_array_equal(spoken, expected.codes)
    case = f"{'with' if cloned else 'without'} a clip, {'among seven' if company else 'alone'}"
    name = f"codes of {type(eight).__module__.split('.')[2]} against transformers, {case}"
    figure(name, f"{spoken.shape[1]} frames x {len(spoken)}, all equal")
