"""The weights that the true-size compile draws are those of a made checkpoint of that size."""

from __future__ import annotations

from pathlib import Path

import torch

from convert.checkpoint import Checkpoint, required_shapes
from demo.make_checkpoint import make_checkpoint
from demo.sizes import SIZES
from tools.bench.rtx_true_size import DrawnCheckpoint


def test_drawn_weights_are_those_of_the_checkpoint(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "made", "tiny", eos_rate=0)
    made, drawn = Checkpoint.open(tmp_path / "made"), DrawnCheckpoint.of(SIZES["tiny"], tmp_path)
    assert drawn.config == made.config
    assert drawn.stored_types() == made.stored_types()
    for name, shape in required_shapes(made.config).items():
        assert drawn.tensor(name).shape == shape
        assert torch.equal(drawn.tensor(name), made.tensor(name)), name
