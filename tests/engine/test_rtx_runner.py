"""The runner of TensorRT-RTX's graph with ONNX Runtime in the GPU's place: same graph, same cache, same codes."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from convert.onnx_executor import OnnxExecutor
from runtime.engine.delay_pattern import delay
from runtime.engine.inflight.engine import Engine
from runtime.engine.inflight.graph_executor import Binding, GraphLimits
from runtime.engine.inflight.onnx_runner import OnnxRunner
from runtime.engine.inflight.rtx_runner import RtxRunner
from runtime.engine.types import (
    AudioSegment,
    Limits,
    ModelDescription,
    Prompt,
    Request,
    SamplingParameters,
    Segment,
    TextSegment,
    WindowPlan,
)
from runtime.formats.errors import ModelLoadingError
from tests.serving.higgs import Higgs
from tools.bench.listening import listen

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
FRAMES, STREAMS, POSITIONS, PREFILL = 240, 8, 1024, 24
LIMITS = Limits(STREAMS, 16, POSITIONS, prefill_tokens_per_step=32, context_frames=10)
GREEDY = SamplingParameters(temperature=0.0, top_k=0, top_p=1.0, ras_window=0, ras_max_repeats=1, seed=0)
SAMPLED = SamplingParameters(temperature=0.8, top_k=40, top_p=0.95, ras_window=7, ras_max_repeats=2, seed=11)
TEXT, WORDS = "One graph reads this sentence aloud.", "A tone that glides."


class Recorder(OnnxExecutor):
    """The real executor, which also remembers what it was given."""

    def __init__(self, path: Path, limits: GraphLimits) -> None:
        super().__init__(path, limits, threads=1)
        self.bindings: list[Binding] = []

    def execute(self, binding: Binding) -> None:
        self.bindings.append(binding)
        super().execute(binding)


def make_runner(directory: Path) -> tuple[RtxRunner, Recorder]:
    executor = Recorder(directory / "lm.onnx", GraphLimits(STREAMS, PREFILL, POSITIONS))
    description = ModelDescription.read(directory / "lm.json")
    return RtxRunner(executor, description, STREAMS, POSITIONS), executor


@pytest.fixture
def runner(one_graph: Path) -> RtxRunner:
    return make_runner(one_graph)[0]


@pytest.fixture
def engine(runner: RtxRunner) -> Iterator[Engine]:
    running = Engine(runner, LIMITS)
    yield running
    running.close()


def order(name: str, prompt: Prompt, sampling: SamplingParameters, frames: int = FRAMES) -> Request:
    return Request(name, prompt, sampling, WindowPlan(10, 1.5, 50), frames, 300.0)


def text_prompt(seed: int, positions: int) -> Prompt:
    return Prompt((TextSegment(np.random.default_rng(seed).integers(0, 256, positions)),))


def codes(engine: Engine, request: Request) -> np.ndarray:
    return np.concatenate([w.codes[:, w.context : w.context + w.count] for w in listen(engine, request)], axis=1)


def spoken_prompt(higgs: Higgs, ids: np.ndarray, clip: np.ndarray, runner: RtxRunner) -> Prompt:
    """transformers' prompt in segments: its clip's positions are the delayed columns of the clip's codes."""
    config = higgs.model.config
    audio = np.flatnonzero((ids == config.audio_token_id) | (ids == config.audio_delay_token_id))
    if not len(audio):
        return Prompt((TextSegment(ids),))
    columns = delay(clip, runner.layout)
    assert len(columns) == len(audio)
    return Prompt((TextSegment(ids[: audio[0]]), AudioSegment(columns), TextSegment(ids[audio[-1] + 1 :])))


@pytest.mark.parametrize("cloned", [False, True], ids=["no reference", "reference clip"])
@pytest.mark.parametrize("company", [False, True], ids=["alone", "among seven"])
def test_greedy_codes_equal_transformers(
    engine: Engine, runner: RtxRunner, higgs: Higgs, cloned: bool, company: bool, figure: Callable[[str, str], None]
) -> None:
    seconds = np.arange(24000) / 24000
    clip = (0.3 * np.sin(2 * np.pi * (200 + 150 * seconds) * seconds)).astype(np.float32)
    expected = higgs.generate(FRAMES, TEXT, clip if cloned else None, WORDS)
    assert expected.codes.shape[1] >= 200, "too short to mean much"
    prompt = spoken_prompt(higgs, expected.ids, expected.clip, runner)
    lengths, done = {runner.cache.capacity}, threading.Event()

    def visitor(number: int) -> None:
        while not done.is_set():
            codes(engine, order(f"visitor{number}", text_prompt(number, 20 + 40 * number), SAMPLED, 7 + 5 * number))

    visitors = [threading.Thread(target=visitor, args=(number,)) for number in range(7 if company else 0)]
    for thread in visitors:
        thread.start()
    windows = []
    for window in listen(engine, order("parity", prompt, GREEDY)):
        windows.append(window.codes[:, window.context : window.context + window.count])
        lengths.add(runner.cache.capacity)
    done.set()
    for thread in visitors:
        thread.join()
    found = np.concatenate(windows, axis=1)
    np.testing.assert_array_equal(found, expected.codes)
    assert len(lengths) > 1, "the cache must have been laid out anew while the stream ran"
    case = f"{'with' if cloned else 'without'} a clip, {'among seven' if company else 'alone'}"
    figure(f"one graph's greedy codes against transformers, {case}", f"{found.shape[1]} frames x 8, all equal")


def test_sampled_codes_equal_the_onnx_engines(engine: Engine, bundle: Path) -> None:
    weights = bundle / "model_repository" / "lm" / "1" / "weights"
    other = Engine(OnnxRunner(weights, STREAMS, POSITIONS, threads=1), LIMITS)
    try:
        for seed in range(3):
            request = order(f"seed{seed}", text_prompt(seed, 30 + 100 * seed), replace(SAMPLED, seed=seed), 120)
            np.testing.assert_array_equal(codes(engine, request), codes(other, request))
    finally:
        other.close()


def test_streams_together_equal_streams_alone(engine: Engine) -> None:
    requests = [order(f"s{i}", text_prompt(i, 20 + 60 * i), replace(SAMPLED, seed=i), 40 + 20 * i) for i in range(12)]
    alone = [codes(engine, request) for request in requests]
    together: list[np.ndarray | None] = [None] * len(requests)

    def run(i: int) -> None:
        together[i] = codes(engine, requests[i])

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for first, second in zip(alone, together, strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_decode_step_runs_on_buffers_that_stay_where_they_are(one_graph: Path) -> None:
    runner, executor = make_runner(one_graph)
    for slot in range(3):
        runner.prefill(slot, 0, TextSegment(np.arange(30)))
    columns = torch.zeros((3, 8), dtype=torch.int64)
    for position in range(30, 60):
        runner.decode(columns, [position, 30, position - 20])
    steps = executor.bindings[-30:]
    assert all(step is steps[0] for step in steps), "bound anew within one number of rows and cache length"
    tensors = steps[0].tensors
    memory = runner.cache.buffers
    assert tensors["past_value_3"].data_ptr() == memory[7].data_ptr()
    assert tensors["past_key_0"].shape == (3, 2, runner.cache.capacity, 64)
    assert tensors["new_key_values"].numel() == memory.numel() // STREAMS * 3 // runner.cache.capacity
    assert len(tensors["text_rows"]) == 0, "a decode step must not read the text network"
    assert tensors["audio_rows"].tolist() == [0, 1, 2]


def test_a_long_prompt_is_read_in_pieces_of_one_modality(one_graph: Path) -> None:
    runner, executor = make_runner(one_graph)
    assert runner.prefill(0, 0, TextSegment(np.arange(2 * PREFILL + 5))) == 2 * PREFILL + 5
    assert runner.prefill(0, 53, AudioSegment(np.full((10, 8), 3))) == 10
    assert runner.prefill(0, 63, TextSegment(np.arange(0))) == 0
    shapes = [(b.profile, b.tensors["ids"].shape[1], len(b.tensors["text_rows"])) for b in executor.bindings]
    assert shapes == [("text", PREFILL, PREFILL), ("text", PREFILL, PREFILL), ("text", 5, 5), ("audio", 10, 0)]
    assert executor.bindings[2].tensors["positions"].tolist() == [[48, 49, 50, 51, 52]]


def test_a_prompt_being_read_survives_the_steps_of_shorter_streams(one_graph: Path) -> None:
    def logits(companions: int) -> np.ndarray:
        runner, _ = make_runner(one_graph)
        for slot in range(companions):
            runner.prefill(slot, 0, TextSegment(np.arange(20)))
        ids = np.random.default_rng(0).integers(0, 256, 700)
        runner.prefill(companions, 0, TextSegment(ids[:600]))
        for position in range(20, 24) if companions else ():
            runner.decode(torch.zeros((companions, 8), dtype=torch.int64), [position] * companions)
        runner.prefill(companions, 600, TextSegment(ids[600:]))
        columns = torch.zeros((companions + 1, 8), dtype=torch.int64)
        return runner.decode(columns, [24] * companions + [700])[-1].clone().numpy()

    np.testing.assert_allclose(logits(2), logits(0), atol=1e-5)


def test_what_another_stream_left_in_a_slot_is_not_seen(one_graph: Path) -> None:
    def logits(runner: RtxRunner, segments: list[Segment]) -> np.ndarray:
        position = 0
        for segment in segments:
            position += runner.prefill(0, position, segment)
        return runner.decode(torch.full((1, 8), 5), [position]).clone().numpy()

    fresh, _ = make_runner(one_graph)
    used, _ = make_runner(one_graph)
    used.prefill(0, 0, TextSegment(np.random.default_rng(0).integers(0, 256, 900)))
    segments: list[Segment] = [TextSegment(np.arange(20)), AudioSegment(np.full((3, 8), 9))]
    np.testing.assert_allclose(logits(used, segments), logits(fresh, segments), atol=1e-5)


def test_more_than_the_graph_was_compiled_for_is_refused(one_graph: Path) -> None:
    executor = OnnxExecutor(one_graph / "lm.onnx", GraphLimits(4, 64, 512))
    description = ModelDescription.read(one_graph / "lm.json")
    with pytest.raises(ModelLoadingError, match="5 streams are asked for, but the model was compiled for 4"):
        RtxRunner(executor, description, 5, 512)
    with pytest.raises(ModelLoadingError, match="513 positions are asked for, but the model was compiled for 512"):
        RtxRunner(executor, description, 4, 513)


def test_without_a_gpu_the_engine_is_refused_in_one_sentence(one_graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(ModelLoadingError, match=r"lm\.engine is an engine for a GPU, but torch sees none here"):
        RtxRunner.load(one_graph, STREAMS, POSITIONS)
    for name in ("tensorrt_rtx", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModelLoadingError, match="TensorRT-RTX is not installed"):
        RtxRunner.load(one_graph, STREAMS, POSITIONS)


def test_a_gpu_needs_no_onnx_runtime() -> None:
    """The bundle's manifest does not ask for it either (build/manifest.py)."""
    script = "import sys; sys.modules['onnxruntime'] = None; import runtime.engine.inflight.rtx_runner"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
