"""The arithmetic page: its parameters are those of the checkpoint, its figures follow from the data sheets."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from demo.language_model import plan
from demo.sizes import SIZES
from tools.bench import arithmetic
from tools.bench.arithmetic import BEGIN, END, Weights
from tools.bench.codec_work import context_frames, window_operations
from tools.bench.data_sheets import BF16, FP8, GPUS

SIZE = SIZES["true"]
H100 = next(gpu for gpu in GPUS if gpu.name.startswith("H100"))
L4 = next(gpu for gpu in GPUS if gpu.name == "L4")
PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "gpu-arithmetic.md"


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


def test_a_window_costs_what_a_decode_of_the_whole_does_and_its_context():
    codec = SIZE.codec
    one_more = (window_operations(codec, 200) - window_operations(codec, 100)) / 100
    # By hand: the first convolution, 256 channels to 1,024 in seven taps once a frame, is in it, and much more.
    assert one_more > 2 * 256 * 1024 * 7
    context = window_operations(codec, 100) - 100 * one_more
    assert 0 < context < 2 * context_frames(codec) * one_more, "trimmed layers compute less than the whole context"


def test_the_first_window_waits_for_its_frames_the_delay_and_the_codec():
    assert arithmetic.first_columns(SIZE) == 5 + 8 + 10
    rows = {row[0]: [float(cell.split()[0]) for cell in row[1:]] for row in arithmetic.first_sound_table(SIZE)[1]}
    *stages, together = rows["H100 SXM"]
    assert together == pytest.approx(sum(stages), abs=0.3)
    assert stages[1] == pytest.approx(1000 * 23 * arithmetic.decode_step(SIZE, 64, BF16).seconds(H100, BF16), abs=0.1)


def test_the_page_holds_what_the_code_computes():
    text = PAGE.read_text()
    assert text[text.index(BEGIN) + len(BEGIN) : text.index(END)].strip() == arithmetic.tables(SIZE).strip()
