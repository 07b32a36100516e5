"""vLLM over the demo-size model with random weights, in float32, beside our own engine over the same weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from convert import lm_vllm
from convert.checkpoint import Checkpoint
from runtime.engine.contract import SpeechEngine
from runtime.engine.inflight.engine import Engine
from runtime.engine.inflight.onnx_runner import OnnxRunner
from runtime.engine.types import Limits
from runtime.engine.vllm.engine import VllmEngine
from runtime.engine.vllm.options import VllmOptions
from tests.conftest import ROOT, built

LIMITS = Limits(max_streams=8, max_waiting=128, max_positions=1024, prefill_tokens_per_step=32, context_frames=10)
IN_PROCESS = VllmOptions(dtype="float32", kv_cache_bytes=2**26)

VOICE, VOICES = ROOT / "demo" / "checkpoint", ROOT / "voices"


@pytest.fixture(scope="session")
def weights(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint as vLLM reads it."""
    directory = tmp_path_factory.mktemp("vllm")
    lm_vllm.export(Checkpoint.open(checkpoint), directory, "fp32", 4096)
    return directory


@pytest.fixture(scope="session")
def split_bundle() -> Path:
    """The demo voice on `vllm-cpu`, its language model split over two workers."""
    return built("vllm_split_bundle", VOICE, VOICES, "--target", "vllm-cpu", "--gpus", "2")


@contextmanager
def started(
    weights: Path, limits: Limits = LIMITS, options: VllmOptions = IN_PROCESS, threads: int = 2
) -> Iterator[VllmEngine]:
    """A running engine; what it writes into the environment ends with it."""
    with patch.dict(os.environ), ExitStack() as closing:
        engine = VllmEngine(weights, limits, threads, options)
        closing.callback(engine.close)
        yield engine


@pytest.fixture(scope="module")
def engine(weights: Path) -> Iterator[VllmEngine]:
    """One in this process, with eight places."""
    with started(weights) as running:
        yield running


@pytest.fixture(scope="module")
def ours(bundle: Path) -> Iterator[SpeechEngine]:
    """Our own engine over the same weights."""
    runner = OnnxRunner(bundle / "model_repository" / "lm" / "1" / "weights", 8, LIMITS.max_positions, threads=2)
    running = Engine(runner, replace(LIMITS, max_waiting=128))
    yield running
    running.close()
