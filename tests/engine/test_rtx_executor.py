"""The TensorRT-RTX executor over a stand-in engine: what it binds, when, and what it refuses.

The stand-in's methods are compared with the real library's, so that a wrong name or argument fails here; what remains
for a GPU is the engine itself.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorrt_rtx_bindings as library
import torch

from build.rtx import LmShapes, lm_profiles
from convert.onnx_executor import OnnxExecutor
from runtime.engine.inflight.engine import Engine
from runtime.engine.inflight.graph_executor import PROFILES, GraphLimits
from runtime.engine.inflight.rtx_executor import RtxExecutor
from runtime.engine.inflight.rtx_runner import RtxRunner
from runtime.engine.types import (
    AudioSegment,
    Limits,
    ModelDescription,
    Prompt,
    Request,
    SamplingParameters,
    TextSegment,
    WindowPlan,
)
from runtime.formats.errors import CUDAFailureError, ModelLoadingError
from tests.engine import rtx_standin
from tools.bench.listening import listen

SHAPES = LmShapes(max_streams=4, max_prefill=24, max_positions=1024)
LIMITS = Limits(4, 8, 1024, prefill_tokens_per_step=32, context_frames=10)
SAMPLING = SamplingParameters(temperature=0.9, top_k=30, top_p=0.9, ras_window=7, ras_max_repeats=2, seed=5)
CPU = torch.device("cpu")


def standin(directory: Path, shapes: LmShapes = SHAPES) -> RtxExecutor:
    engine = rtx_standin.Engine(directory / "lm.onnx", lm_profiles(shapes))
    return RtxExecutor(rtx_standin.MODULE, engine, CPU)


def runner(executor: Any, directory: Path) -> RtxRunner:
    return RtxRunner(executor, ModelDescription.read(directory / "lm.json"), 4, 1024)


def speak(model: RtxRunner) -> np.ndarray:
    engine = Engine(model, LIMITS)
    prompt = Prompt(
        (
            TextSegment(np.arange(60)),
            AudioSegment(np.full((30, 8), 17)),
            TextSegment(np.random.default_rng(1).integers(0, 256, 170)),
        )
    )
    try:
        windows = list(listen(engine, Request("r", prompt, SAMPLING, WindowPlan(5, 1.5, 20), 60, 60.0)))
    finally:
        engine.close()
    return np.concatenate([w.codes[:, w.context : w.context + w.count] for w in windows], axis=1)


def test_codes_through_the_engines_api_equal_those_of_the_graph(one_graph: Path) -> None:
    plain = OnnxExecutor(one_graph / "lm.onnx", GraphLimits(4, 24, 1024))
    found = speak(runner(standin(one_graph), one_graph))
    assert found.shape[1] >= 20
    np.testing.assert_array_equal(found, speak(runner(plain, one_graph)))


def test_limits_and_cache_type_are_read_from_the_engine(one_graph: Path) -> None:
    executor = standin(one_graph)
    assert executor.limits == GraphLimits(max_rows=4, max_prefill=24, max_past=1024)
    assert executor.cache_dtype == torch.float32
    with pytest.raises(ModelLoadingError, match="4 streams are asked for, but the model was compiled for 2"):
        runner(standin(one_graph, LmShapes(2, 24, 1024)), one_graph)


def test_a_step_on_the_same_buffers_sets_nothing_anew(one_graph: Path) -> None:
    executor = standin(one_graph)
    model = runner(executor, one_graph)
    context = executor._contexts["decode"]
    model.decode(torch.zeros((2, 8), dtype=torch.int64), [0, 0])
    assert len(context.calls) > 20
    context.calls.clear()
    for position in range(1, 5):
        model.decode(torch.zeros((2, 8), dtype=torch.int64), [position, position])
    assert context.calls == ["execute"] * 4
    model.prefill(2, 0, TextSegment(np.arange(5)))  # another profile's context must not disturb it
    model.decode(torch.zeros((2, 8), dtype=torch.int64), [5, 5])
    assert context.calls == ["execute"] * 5
    model.decode(torch.zeros((3, 8), dtype=torch.int64), [6, 6, 5])
    assert "shape past_key_0" in context.calls


def test_shapes_beyond_a_profile_are_named(one_graph: Path) -> None:
    executor = standin(one_graph)
    model = runner(executor, one_graph)
    step = model._bind("decode", 0, 2, 3, is_audio=True)
    with pytest.raises(ValueError, match=r"decode profile does not take ids of shape \(2, 3\)"):
        executor.execute(step)


def test_an_engine_of_something_else_is_refused(one_graph: Path) -> None:
    engine = rtx_standin.Engine(one_graph / "lm.onnx", lm_profiles(SHAPES)[:2])
    with pytest.raises(ModelLoadingError, match="the engine has 2 profiles"):
        RtxExecutor(rtx_standin.MODULE, engine, CPU)


def test_a_failed_run_ends_its_streams_as_a_gpu_failure(one_graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtx_standin.Context, "execute_async_v3", lambda self, stream_handle: False)
    with pytest.raises(CUDAFailureError, match="could not run a text call"):
        speak(runner(standin(one_graph), one_graph))


def test_each_kind_of_call_has_its_profile(one_graph: Path) -> None:
    assert PROFILES == ("decode", "text", "audio")
    decode, text, audio = lm_profiles(SHAPES)
    assert (decode["batch"].largest, decode["sequence"].largest, decode["num_text_rows"].largest) == (4, 1, 0)
    assert (text["num_text_rows"].lowest, text["num_audio_rows"].largest) == (1, 0)
    assert (audio["num_text_rows"].largest, audio["num_audio_rows"].lowest) == (0, 1)


@pytest.mark.parametrize(
    "imitation, original", [(rtx_standin.Engine, "ICudaEngine"), (rtx_standin.Context, "IExecutionContext")]
)
def test_the_stand_in_has_the_real_librarys_methods_and_arguments(imitation: type, original: str) -> None:
    real = getattr(library, original)
    methods = {name: m for name, m in vars(imitation).items() if inspect.isfunction(m) and not name.startswith("_")}
    assert len(methods) >= 5
    for name, method in methods.items():
        signatures = re.findall(rf"{name}\(self: [\w.]+,? ?([^)]*)\)", getattr(real, name).__doc__)
        arguments = [re.findall(r"(?:^|, )(\w+): ", signature) for signature in signatures]
        assert list(inspect.signature(method).parameters)[1:] in arguments, f"{original}.{name} takes {arguments}"
    for name in ("device_memory_size_v2", "num_io_tensors", "num_optimization_profiles"):
        assert hasattr(library.ICudaEngine, name)
    assert {m.name for m in rtx_standin.TensorIOMode} <= set(library.TensorIOMode.__members__)
    assert "USER_MANAGED" in library.ExecutionContextAllocationStrategy.__members__
