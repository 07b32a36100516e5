"""Real TensorRT-RTX compiles, without a GPU: the codec at its true size, the demo language model, refusals."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import tensorrt_rtx_bindings
from onnx import TensorProto, helper, numpy_helper

from build import onnx_compiler, rtx, tensorrt_plan
from build.errors import BuildError
from build.fingerprint import fingerprint
from build.onnx_compiler import AxisRange, EngineReport
from build.rtx import CodecShapes, LmShapes, compile_codec, compile_lm, lm_profiles
from build.tensorrt_plan import compile_plan
from convert import lm_tensorrt_rtx
from convert.checkpoint import Checkpoint
from convert.codec_export import export_decoder
from demo.codec import build_codec
from demo.sizes import TRUE_CODEC
from runtime.engine.inflight.graph_executor import PROFILES
from runtime.formats.exports import FORMAT

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "artifacts" / "test"
WINDOWS = CodecShapes(max_batch=16, min_frames=21, typical_frames=70, max_frames=280)
CLIPS = CodecShapes(max_batch=1, min_frames=1, typical_frames=250, max_frames=750)
SHAPES = LmShapes(max_streams=16, max_prefill=512, max_positions=4096)
MIB = 2**20
_HEADER = b"vtrt"  # how a serialised engine begins


@pytest.fixture(scope="session")
def true_decoder() -> Path:
    """The decoder at the real widths with random weights; making and checking it takes half a minute, so it is kept."""
    mark = fingerprint(["true decoder"], code=[ROOT / "demo", ROOT / "convert"])[:12]
    path = KEPT / f"true-codec-{mark}" / "decoder.onnx"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        export_decoder(build_codec(TRUE_CODEC, seed=0), path.with_suffix(".partial"))
        path.with_suffix(".partial").rename(path)
    return path


@pytest.fixture(scope="module")
def exports(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `lm/` in bfloat16, as the converter leaves it."""
    directory = tmp_path_factory.mktemp("exports")
    lm_tensorrt_rtx.export(Checkpoint.open(checkpoint), directory / "lm", "bf16", 4096)
    (directory / "lm" / "check.onnx").unlink()
    return directory


def written(engine: Path, report: EngineReport) -> dict[str, object]:
    """The engine must be there whole, and its report beside it say what was returned."""
    assert engine.stat().st_size == report.bytes
    assert engine.read_bytes()[:4] == _HEADER
    assert not list(engine.parent.glob("*.partial"))
    assert EngineReport.read(engine) == report
    stored = json.loads((engine.parent / f"{engine.name}.json").read_text())
    assert stored["bytes"] == report.bytes
    assert stored["compiler"] == "tensorrt_rtx"
    assert stored["version"] == tensorrt_rtx_bindings.__version__
    return stored


@pytest.mark.parametrize("capability", ["8.9", "12.0"])
def test_the_codecs_decoder_compiles_at_its_true_size(
    true_decoder: Path, tmp_path: Path, capability: str, figure: Callable[[str, str], None]
) -> None:
    engine = tmp_path / "decoder.engine"
    report = compile_codec(true_decoder, engine, WINDOWS, capability)
    stored = written(engine, report)
    assert stored["inputs"] == {"codes": ["INT32", ["batch", 8, "frames"]]}
    assert [*stored["outputs"]] == ["audio"]  # type: ignore[misc]
    assert stored["profiles"] == [
        {
            "batch": {"lowest": 1, "typical": 1, "largest": 16},
            "frames": {"lowest": 21, "typical": 70, "largest": 280},
        }
    ]
    assert stored["compute_capability"] == capability
    # 21.6 M parameters, the codebooks' tables fused: the weights must be in it, once.
    weights = true_decoder.stat().st_size
    assert weights <= report.bytes < 1.25 * weights
    figure(f"TensorRT-RTX, true-size decoder for {capability}", f"{report.bytes / MIB:.0f} MiB, {report.seconds:.1f} s")


def test_the_codecs_encoder_compiles(bundle: Path, tmp_path: Path, figure: Callable[[str, str], None]) -> None:
    report = compile_codec(bundle / "exports" / "codec" / "encoder.onnx", tmp_path / "encoder.engine", CLIPS, "8.9")
    stored = written(tmp_path / "encoder.engine", report)
    assert stored["inputs"] == {"audio": ["FLOAT", ["batch", "960*frames"]]}
    assert stored["outputs"]["codes"][0] == "INT32"  # type: ignore[index]
    figure("TensorRT-RTX, demo-size encoder", f"{report.bytes / MIB:.1f} MiB, {report.seconds:.1f} s")


def test_the_demo_language_model_compiles(exports: Path, tmp_path: Path, figure: Callable[[str, str], None]) -> None:
    report = compile_lm(exports, tmp_path / "lm.engine", SHAPES, "8.9")
    stored = written(tmp_path / "lm.engine", report)
    inputs, profiles = report.inputs, report.profiles
    assert inputs["past_value_3"] == ("BF16", ["batch", 2, "past", 64])
    assert inputs["columns"] == ("INT64", ["batch", "sequence", 8])
    assert report.outputs["logits"][0] == "FLOAT"
    assert report.outputs["logits"][1][1:] == [8, 1026]
    assert report.outputs["new_key_values"][0] == "BF16"
    assert len(profiles) == len(stored["profiles"]) == len(PROFILES)
    assert profiles[PROFILES.index("decode")]["batch"] == AxisRange(1, 1, 16)
    assert all(profile["past"].largest == 4096 for profile in profiles)
    weights = (exports / "lm" / "lm.weights").stat().st_size
    assert report.bytes >= 0.98 * weights
    figure("TensorRT-RTX, demo LM in bf16", f"{report.bytes / MIB:.0f} MiB, {report.seconds:.1f} s, 3 profiles")


def test_a_finished_engine_is_left_alone_until_something_changes(tmp_path: Path) -> None:
    network, engine = tmp_path / "relu.onnx", tmp_path / "relu.engine"
    save(network, [helper.make_node("Relu", ["x"], ["y"])], {})

    def build(largest: int = 4, capability: str = "8.9") -> int:
        profile = {"rows": AxisRange(1, 1, largest)}
        onnx_compiler.compile_onnx(tensorrt_rtx_bindings, network, engine, [profile], capability)
        return engine.stat().st_mtime_ns

    first = build()
    assert build() == first
    second = build(largest=8)
    third = build(largest=8, capability="8.6")
    assert first < second < third
    other = tmp_path / "other" / "relu.onnx"  # another network at the same place, older than the engine
    other.parent.mkdir()
    save(other, [helper.make_node("Neg", ["x"], ["y"])], {})
    os.utime(other, ns=(0, 0))
    other.replace(network)
    fourth = build(largest=8, capability="8.6")
    engine.write_bytes(engine.read_bytes()[:-1])
    assert third < fourth < build(largest=8, capability="8.6")
    assert engine.stat().st_size == EngineReport.read(engine).bytes  # type: ignore[union-attr]


def test_profiles_share_the_weights(tmp_path: Path, figure: Callable[[str, str], None]) -> None:
    """On weights that outweigh all code: a decode and two prefill profiles must not hold them three times."""
    wide = tmp_path / "wide.onnx"
    weight = np.random.default_rng(0).standard_normal((1024, 8192)).astype(np.float32)
    save(wide, [helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": weight})
    rows = [profile["rows"] for profile in lm_profiles(replace(SHAPES, max_streams=1))]
    sizes = {}
    for count in (1, 3):
        engine = tmp_path / f"wide{count}.engine"
        profiles = [{"rows": r} for r in rows[:count]]
        sizes[count] = onnx_compiler.compile_onnx(tensorrt_rtx_bindings, wide, engine, profiles, "").bytes
    assert sizes[3] < 1.1 * sizes[1]
    figure("TensorRT-RTX, three profiles against one", f"{sizes[3] / sizes[1]:.2f} times the size")


def save(path: Path, nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray]) -> None:
    """A network x [rows, 1024] -> y."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 1024])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)


def test_an_operator_the_parser_does_not_know_is_named_with_its_words(tmp_path: Path) -> None:
    path = tmp_path / "strange.onnx"
    save(path, [helper.make_node("Frobnicate", ["x"], ["y"], domain="somewhere")], {})
    with pytest.raises(BuildError, match=r"cannot read .*strange\.onnx: .*Frobnicate") as refused:
        compile_codec(path, tmp_path / "x.engine", WINDOWS, "8.9")
    assert "\n" not in str(refused.value)


def test_what_cannot_be_compiled_is_refused_in_one_sentence(tmp_path: Path, exports: Path) -> None:
    noise = tmp_path / "noise.onnx"
    noise.write_bytes(b"no network at all")
    engine = tmp_path / "x.engine"
    with pytest.raises(BuildError, match=r"cannot read .*noise\.onnx: .*Failed to parse the ONNX model"):
        compile_codec(noise, engine, WINDOWS, "8.9")
    with pytest.raises(BuildError, match=r"there is no .*nowhere\.onnx to compile"):
        compile_codec(tmp_path / "nowhere.onnx", engine, WINDOWS, "8.9")
    sentence = "compute capability '9.0' is none that TensorRT-RTX 1.7.1.116 compiles for; there are 7.5, 8.0, 8.6, 8.9"
    with pytest.raises(BuildError, match=sentence):
        compile_codec(noise, engine, WINDOWS, "9.0")
    with pytest.raises(BuildError, match="5000 positions are asked for, but the model was exported for 4096"):
        compile_lm(exports, engine, replace(SHAPES, max_positions=5000), "8.9")
    with pytest.raises(BuildError, match=r"holds no language model .*; run the conversion first"):
        compile_lm(tmp_path, engine, SHAPES, "8.9")
    with pytest.raises(BuildError, match="an axis cannot go from 4 over 2 to 8"):
        AxisRange(4, 2, 8)
    save(noise, [helper.make_node("Relu", ["x"], ["y"])], {})
    with pytest.raises(BuildError, match=r"axis 0 \('rows'\) of input x of .* has no range; there are \['batch'"):
        compile_codec(noise, engine, WINDOWS, "8.9")
    assert not list(tmp_path.glob("x.engine*"))


def test_without_the_library_one_sentence_says_what_to_install(
    true_decoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tensorrt_rtx", "tensorrt_rtx_bindings", "tensorrt"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BuildError, match="TensorRT-RTX is not installed; pip install"):
        compile_codec(true_decoder, tmp_path / "x.engine", WINDOWS, "8.9")
    with pytest.raises(BuildError, match="TensorRT is not installed; plans are built in the GPU container"):
        compile_plan(true_decoder, tmp_path / "x.plan", WINDOWS, "9.0")


def test_a_full_disk_ends_the_build_and_leaves_no_half_engine(true_decoder: Path, tmp_path: Path) -> None:
    """A limit on the size of a file fails the write in the middle of serialising, as a full disk does."""
    (tmp_path / "exports" / "codec").mkdir(parents=True)
    (tmp_path / "exports" / "codec" / "decoder.onnx").symlink_to(true_decoder)
    codec = {"sample_rate": 24000, "hop_length": 960, "context_frames": 10}
    (tmp_path / "exports" / "export.json").write_text(json.dumps({"format": FORMAT, "codec": {"config": codec}}))
    command = [sys.executable, "-B", "-m", "build.rtx", str(tmp_path / "exports"), "--output", str(tmp_path / "out")]
    refused = subprocess.run(
        [*command, "--compute-capability", "8.9"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, MIB)),
    )
    assert refused.returncode == 1
    assert refused.stderr == "build: [Errno 27] File too large\n"
    assert not list((tmp_path / "out").iterdir())


def test_a_plan_is_built_by_the_same_calls_on_the_targets_card_only(
    true_decoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT cannot be installed here; TensorRT-RTX, whose builder has the same calls, stands in for it."""
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_rtx_bindings)
    with pytest.raises(
        BuildError, match=r"plans for compute capability 9\.0 must be built on such a card; .* has no GPU"
    ):
        compile_plan(true_decoder, tmp_path / "model.plan", WINDOWS, "9.0")
    monkeypatch.setattr(tensorrt_plan, "card", lambda: "8.0")
    with pytest.raises(BuildError, match=r"this machine has 8\.0"):
        compile_plan(true_decoder, tmp_path / "model.plan", WINDOWS, "9.0")
    monkeypatch.setattr(tensorrt_plan, "card", lambda: "9.0")
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(
        onnx_compiler,
        "_serialize",
        lambda module, builder, network, configuration, path, log: (
            asked.append(
                (module, configuration.get_flag(module.BuilderFlag.TF32), configuration.num_optimization_profiles)
            )
            or path.write_bytes(b"plan")
        ),
    )
    report = compile_plan(true_decoder, tmp_path / "model.plan", WINDOWS, "9.0")
    assert asked == [(tensorrt_rtx_bindings, False, 1)]
    assert report.profiles[0]["frames"].largest == 280
    assert (tmp_path / "model.plan").read_bytes() == b"plan"
    assert rtx.DECODER_ENGINE == "decoder.engine"
