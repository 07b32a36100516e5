"""The arithmetic page: its parameters are those of the checkpoint, its figures follow from the data sheets."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from demo.language_model import plan
from demo.sizes import SIZES
from tools.bench import arithmetic
from tools.bench.arithmetic import BEGIN, BF16, END, FP8, GPUS, Weights

SIZE = SIZES["true"]
PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "gpu-arithmetic.md"
H100 = next(gpu for gpu in GPUS if gpu.name.startswith("H100"))
L4 = next(gpu for gpu in GPUS if gpu.name == "L4")


def test_every_parameter_of_the_checkpoint_is_counted_once():
    counted = sum(math.prod(tensor.shape) for tensor in plan(SIZE) if len(tensor.shape) > 1)
    assert Weights.of(SIZE).total == counted


def test_a_step_reads_what_audio_positions_use():
    used = [
        math.prod(tensor.shape)
        for tensor in plan(SIZE)
        if "self_attn" in tensor.name or "audio_mlp" in tensor.name or tensor.name == "audio_lm_head.weight"
    ]
    assert Weights.of(SIZE).audio == sum(used)
    step = arithmetic.decode_step(SIZE, 1, BF16)
    assert step.bytes_read == 2 * sum(used) + arithmetic.MEAN_POSITIONS * arithmetic.kv_bytes(SIZE)


def test_small_batches_are_bound_by_memory_and_huge_ones_by_operations():
    one = arithmetic.decode_step(SIZE, 1, BF16)
    assert one.seconds(H100, BF16) == one.bytes_read / H100.bandwidth
    # Keys and values grow with the batch too; without them a step would turn at a few hundred streams.
    weights_only = arithmetic.StepCost(Weights.of(SIZE).audio * BF16, 2 * 1024 * Weights.of(SIZE).audio)
    assert weights_only.seconds(H100, BF16) == weights_only.operations / H100.bf16


@pytest.mark.parametrize("weight_bytes", [BF16, FP8])
def test_streams_fit_into_memory(weight_bytes):
    streams = arithmetic.max_streams(SIZE, L4, weight_bytes)
    held = Weights.of(SIZE).total * weight_bytes
    stream = arithmetic.MEAN_POSITIONS * arithmetic.kv_bytes(SIZE)
    assert held + streams * stream <= 0.9 * L4.memory * 2**30 < held + (streams + 1) * stream
    real_time = arithmetic.real_time_streams(SIZE, L4, weight_bytes)
    assert 0 < real_time <= streams
    assert arithmetic.host_budget(SIZE, L4, real_time, weight_bytes) >= 0


def test_the_page_holds_what_the_code_computes():
    text = PAGE.read_text()
    assert text[text.index(BEGIN) + len(BEGIN) : text.index(END)].strip() == arithmetic.tables(SIZE).strip()
