"""Selects the engine that runs the language model: the build writes its name into the settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.engine.contract import SpeechEngine
from runtime.engine.types import Limits
from runtime.formats.errors import ModelLoadingError


def start_engine(settings: dict[str, Any], weights: Path, limits: Limits) -> SpeechEngine:
    """Start the engine that `settings["engine"]` names on the files in `weights`; by default onnxruntime.

    Raises ModelLoadingError when the name is unknown, or what the engine needs is missing or does not fit.
    """
    name = settings.get("engine", "onnxruntime")
    if name not in _ENGINES:
        raise ModelLoadingError(f"engine {name!r} is unknown; there are {', '.join(_ENGINES)}")
    return _ENGINES[name](settings, weights, limits)


# Each imports only what it needs: a CPU machine has no TensorRT, and the GPU container no ONNX Runtime for the CPU.


def _onnxruntime(settings: dict[str, Any], weights: Path, limits: Limits) -> SpeechEngine:
    from runtime.engine.inflight.engine import Engine  # noqa: PLC0415
    from runtime.engine.inflight.onnx_runner import OnnxRunner  # noqa: PLC0415

    threads, text_threads = settings["threads"], min(settings["text_threads"], len(os.sched_getaffinity(0)))
    return Engine(OnnxRunner(weights, limits.max_streams, limits.max_positions, threads, text_threads), limits)


def _tensorrt_rtx(settings: dict[str, Any], weights: Path, limits: Limits) -> SpeechEngine:
    from runtime.engine.inflight.engine import Engine  # noqa: PLC0415
    from runtime.engine.inflight.rtx_runner import RtxRunner  # noqa: PLC0415

    return Engine(RtxRunner.load(weights, limits.max_streams, limits.max_positions), limits)


def _tensorrt_llm(settings: dict[str, Any], weights: Path, limits: Limits) -> SpeechEngine:
    from runtime.engine.trtllm.engine import TrtllmEngine  # noqa: PLC0415
    from runtime.engine.trtllm.executor_config import ExecutorOptions  # noqa: PLC0415

    engine = TrtllmEngine(weights, limits, ExecutorOptions(**settings.get("executor", {})))
    engine.warm_up()
    return engine


def _vllm(settings: dict[str, Any], weights: Path, limits: Limits) -> SpeechEngine:
    from runtime.engine.vllm.engine import VllmEngine  # noqa: PLC0415
    from runtime.engine.vllm.options import VllmOptions  # noqa: PLC0415

    threads = settings["threads"] or len(os.sched_getaffinity(0))
    return VllmEngine(weights, limits, threads, VllmOptions(**settings["vllm"]))


_ENGINES: dict[str, Callable[[dict[str, Any], Path, Limits], SpeechEngine]] = {
    "onnxruntime": _onnxruntime,
    "tensorrt-llm": _tensorrt_llm,
    "tensorrt-rtx": _tensorrt_rtx,
    "vllm": _vllm,
    "vllm-cpu": _vllm,
}
