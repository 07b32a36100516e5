"""The settings choose the engine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from runtime.engine import loader
from runtime.engine.inflight.engine import Engine
from runtime.engine.inflight.onnx_runner import OnnxRunner
from runtime.engine.trtllm import executor_config
from runtime.engine.trtllm.engine import TrtllmEngine
from runtime.engine.trtllm.executor_config import ExecutorOptions
from runtime.engine.types import Limits
from runtime.formats.errors import ModelLoadingError
from tests.engine.trtllm.standin.bindings import standin_bindings
from tests.engine.trtllm.standin.network import Network

LIMITS = Limits(max_streams=2, max_waiting=2, max_positions=256, prefill_tokens_per_step=32, context_frames=10)


@pytest.mark.parametrize("settings", [{}, {"engine": "onnxruntime"}], ids=["unnamed", "named"])
def test_onnxruntime_is_the_default(settings: dict[str, Any], bundle: Path) -> None:
    weights = bundle / "model_repository" / "lm" / "1" / "weights"
    engine = loader.start_engine({"threads": 1, "text_threads": 2, **settings}, weights, LIMITS)
    assert isinstance(engine, Engine)
    engine.close()


@pytest.mark.parametrize(("cores", "text_threads"), [(1, 1), (8, 2)])
def test_text_has_threads_of_its_own_but_no_more_than_there_are_cores(
    cores: int, text_threads: int, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    weights = bundle / "model_repository" / "lm" / "1" / "weights"
    engine = loader.start_engine({"threads": 1, "text_threads": 2}, weights, LIMITS)
    assert isinstance(engine, Engine) and isinstance(engine._runner, OnnxRunner)
    sessions = engine._runner._text, engine._runner._audio
    assert [session.get_session_options().intra_op_num_threads for session in sessions] == [text_threads, 1]
    engine.close()


def test_tensorrt_llm_starts_warm_with_the_settings_options(
    trtllm_directory: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    bindings = standin_bindings(network)
    monkeypatch.setitem(sys.modules, executor_config.BINDINGS, bindings)
    settings = {"engine": "tensorrt-llm", "executor": {"kv_memory_fraction": 0.5, "device": "cpu"}}
    engine = loader.start_engine(settings, trtllm_directory, LIMITS)
    (executor,) = bindings.executors
    assert executor.executor_config.kv_cache_config.free_gpu_memory_fraction == 0.5
    assert executor.steps > 0, "it has run before the first request"
    assert engine.stats().steps == 0
    engine.close()


def test_what_is_missing_or_unknown_is_said(trtllm_directory: Path) -> None:
    with pytest.raises(ModelLoadingError, match="engine 'tea' is unknown; there are onnxruntime, tensorrt-llm"):
        loader.start_engine({"engine": "tea"}, trtllm_directory, LIMITS)
    with pytest.raises(ModelLoadingError, match="TensorRT-LLM"):
        loader.start_engine({"engine": "tensorrt-llm"}, trtllm_directory, LIMITS)


def test_missing_files_and_a_missing_tensorrt_llm_are_named(trtllm_directory: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelLoadingError, match=r"lm\.json"):
        TrtllmEngine(tmp_path, LIMITS, ExecutorOptions(device="cpu"), bindings=object())
    with pytest.raises(ModelLoadingError, match=r"needs TensorRT-LLM 1\.2\.1"):
        TrtllmEngine(trtllm_directory, LIMITS, ExecutorOptions(device="cpu"))
