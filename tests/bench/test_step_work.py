"""What a step reads and computes is what the checkpoint's audio layers hold, in the bits that they are stored in."""

from __future__ import annotations

from pathlib import Path

import pytest

from convert import lm
from convert.checkpoint import Checkpoint
from convert.quantization import PRECISIONS, Precision
from demo.sizes import SIZES
from tools.bench.arithmetic import Weights
from tools.bench.step_work import StepWork

SIZE = SIZES["demo"]


def stored_bytes(precision: Precision) -> float:
    """Of a weight, its block's scale included."""
    return 4 if precision.bits is None else precision.bits / 8 + 4 / precision.block_size


@pytest.mark.parametrize("name", PRECISIONS)
def test_a_step_reads_the_weights_of_audio_layers(checkpoint: Path, tmp_path: Path, name: str) -> None:
    precision = PRECISIONS[name]
    lm.export(Checkpoint.open(str(checkpoint)), tmp_path, name, max_positions=64)
    work, weights = StepWork.of(tmp_path / lm.AUDIO_GRAPH), Weights.of(SIZE)
    scores = SIZE.num_layers * SIZE.hidden_size * SIZE.head_dim * (SIZE.num_heads + 2 * SIZE.num_kv_heads)
    finer = stored_bytes(precision.scores or precision)
    assert work.weight_bytes == scores * finer + (weights.audio - scores) * stored_bytes(precision)
    assert work.operations == 2 * weights.audio
