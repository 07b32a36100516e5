"""Weights of few bits: what rounding loses of a weight, and of the logits of a model of twelve layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from convert import lm, lm_check
from convert.checkpoint import Checkpoint
from convert.errors import ExportError
from convert.quantization import PRECISIONS, Precision, quantize
from demo.make_checkpoint import make_checkpoint

FEW_BITS = ("int8", "int4")


@pytest.mark.parametrize("name", FEW_BITS)
def test_no_weight_is_rounded_by_more_than_half_a_level(name: str) -> None:
    precision = PRECISIONS[name]
    assert precision.bits is not None
    weight = np.random.default_rng(0).normal(size=(8, 4 * precision.block_size)).astype(np.float32)
    levels, scales = quantize(weight, precision)
    if precision.bits == 4:
        levels = np.stack([levels & 15, levels >> 4], axis=-1).reshape(*levels.shape[:2], -1)
    stored = (levels.astype(np.float32) - 2 ** (precision.bits - 1)) * scales[..., None]
    off = np.abs(stored - weight.reshape(stored.shape))
    # Besides the value opposite the largest, if it is as large: the range has one level less on that side.
    assert (off <= np.abs(scales[..., None]) * 1.001).all()
    assert (off <= np.abs(scales[..., None]) * 0.501).mean() > 0.98


@pytest.mark.long
@pytest.mark.parametrize("name", FEW_BITS)
def test_the_benchmark_s_checkpoint_stays_within_the_bounds(tmp_path: Path, name: str) -> None:
    make_checkpoint(tmp_path / "bench", "bench", eos_rate=0)
    opened = Checkpoint.open(str(tmp_path / "bench"))
    lm.export(opened, tmp_path / "lm", name, max_positions=256)
    error = lm_check.compare(opened, tmp_path / "lm", name)
    assert error.mean > lm_check.TOLERANCES["fp32"][1], "it was rounded"


def test_the_bound_of_eight_bits_refuses_six(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def coarser(weight: np.ndarray, precision: Precision) -> tuple[np.ndarray, np.ndarray]:
        levels, scales = quantize(weight, precision)
        return levels & ~np.uint8(3), scales

    opened = Checkpoint.open(str(checkpoint))
    lm.export(opened, tmp_path, "int8", max_positions=256)
    lm_check.compare(opened, tmp_path, "int8")
    monkeypatch.setattr(lm, "quantize", coarser)
    lm.export(opened, tmp_path, "int8", max_positions=256)
    with pytest.raises(ExportError, match="int8 logits"):
        lm_check.compare(opened, tmp_path, "int8")


def test_in_four_bits_queries_keys_and_values_keep_eight(checkpoint: Path, tmp_path: Path) -> None:
    lm.export(Checkpoint.open(str(checkpoint)), tmp_path, "int4", max_positions=256)
    graph = onnx.load(tmp_path / lm.AUDIO_GRAPH, load_external_data=False).graph
    bits = {
        node.input[1]: next(one.i for one in node.attribute if one.name == "bits")
        for node in graph.node
        if node.op_type == "MatMulNBits"
    }
    assert {wide for name, wide in bits.items() if ".qkv" in name} == {8}
    assert {wide for name, wide in bits.items() if ".qkv" not in name} == {4}
