"""On a card that TensorRT-RTX supports: compiled engines against ONNX Runtime. Skipped where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from build.rtx import LM_ENGINE, CodecShapes, LmShapes, compile_codec, compile_lm
from convert import lm_tensorrt_rtx
from convert.checkpoint import Checkpoint
from runtime.codec.networks import open_network
from runtime.engine.inflight.engine import Engine, ModelRunner
from runtime.engine.inflight.onnx_runner import OnnxRunner
from runtime.engine.inflight.rtx_runner import RtxRunner
from runtime.engine.types import AudioSegment, Limits, Prompt, Request, SamplingParameters, TextSegment, WindowPlan
from runtime.formats.window import surrounded
from tools.bench.listening import listen

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

ROOT = Path(__file__).resolve().parents[2]
STREAMS, POSITIONS = 4, 1024
LIMITS = Limits(STREAMS, 8, POSITIONS, prefill_tokens_per_step=64, context_frames=10)
GREEDY = SamplingParameters(temperature=0.0, top_k=0, top_p=1.0, ras_window=0, ras_max_repeats=1, seed=0)


def capability() -> str:
    """The card's, as TensorRT-RTX wants it."""
    return "{}.{}".format(*torch.cuda.get_device_capability())


@pytest.fixture(scope="module", params=["fp32", "bf16"])
def compiled(request: pytest.FixtureRequest, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder named after the precision, with the demo model's engine for this card."""
    exports = tmp_path_factory.mktemp("exports")
    lm_tensorrt_rtx.export(Checkpoint.open(checkpoint), exports / "lm", request.param, 4096)
    folder = tmp_path_factory.mktemp("engine") / request.param
    compile_lm(exports, folder / LM_ENGINE, LmShapes(STREAMS, 128, POSITIONS), capability())
    shutil.copyfile(exports / "lm" / "lm.json", folder / "lm.json")
    return folder


@pytest.fixture(scope="module")
def reference(bundle: Path) -> OnnxRunner:
    return OnnxRunner(bundle / "model_repository" / "lm" / "1" / "weights", STREAMS, POSITIONS)


def logits(runner: ModelRunner) -> np.ndarray:
    """Of a few steps of two streams of different length, over text and a clip; float32 [steps, 2, 8, 1026]."""
    random = np.random.default_rng(0)
    lengths = []
    for slot, count in enumerate((200, 330)):
        position = runner.prefill(slot, 0, TextSegment(random.integers(0, 256, count)))
        position += runner.prefill(slot, position, AudioSegment(random.integers(0, 1024, (40, 8))))
        lengths.append(position + runner.prefill(slot, position, TextSegment(random.integers(0, 256, 9))))
    steps = []
    for step in range(4):
        columns = torch.from_numpy(random.integers(0, 1024, (2, 8))).to(runner.device)
        steps.append(runner.decode(columns, [length + step for length in lengths]).cpu().numpy().copy())
    return np.stack(steps)


def test_logits_equal_onnx_runtimes(compiled: Path, reference: OnnxRunner, figure: Callable[[str, str], None]) -> None:
    expected = logits(reference)
    error = np.abs(logits(RtxRunner.load(compiled, STREAMS, POSITIONS)) - expected).max() / expected.std()
    figure(f"TensorRT-RTX on {torch.cuda.get_device_name()}, {compiled.name}, logits", f"{error:.1e} std off at most")
    # float32: another order of additions; bfloat16: three times what the same graph costs on a CPU.
    assert error < {"fp32": 1e-3, "bf16": 0.15}[compiled.name]


def test_greedy_codes_equal_onnx_runtimes(compiled: Path, reference: OnnxRunner) -> None:
    if compiled.name != "fp32":
        pytest.skip("a rounded model chooses otherwise at near-ties")
    prompt = Prompt((TextSegment(np.random.default_rng(1).integers(0, 256, 180)),))
    codes = []
    for runner in (RtxRunner.load(compiled, STREAMS, POSITIONS), reference):
        engine = Engine(runner, LIMITS)
        try:
            windows = list(listen(engine, Request("r", prompt, GREEDY, WindowPlan(10, 1.5, 50), 120, 300.0)))
        finally:
            engine.close()
        codes.append(np.concatenate([w.codes[:, w.context : w.context + w.count] for w in windows], axis=1))
    np.testing.assert_array_equal(*codes)


def test_decoded_audio_equals_onnx_runtimes(bundle: Path, tmp_path: Path) -> None:
    onnx = bundle / "exports" / "codec" / "decoder.onnx"
    compile_codec(onnx, tmp_path / "decoder.engine", CodecShapes(4, 21, 70, 148), capability())
    plain = open_network(onnx.parent, "decoder", {"threads": 2})
    compiled = open_network(tmp_path, "decoder", {"engine": "tensorrt-rtx"})
    for batch, frames in ((1, 1), (4, 128), (2, 37)):
        codes = np.random.default_rng(frames).integers(0, 1024, (batch, 8, frames)).astype(np.int32)
        codes = surrounded(codes, 0, frames, LIMITS.context_frames)
        expected = plain(codes)
        # A thousandth of its deviation, which is about 0.1: three steps of 16-bit PCM.
        np.testing.assert_allclose(compiled(codes), expected, atol=1e-3 * expected.std())
