"""The demo model as each runner's graphs: ONNX Runtime's two, and TensorRT-RTX's one, which ONNX Runtime runs here."""

from __future__ import annotations

from pathlib import Path

import pytest

from convert import lm, lm_tensorrt_rtx
from convert.checkpoint import Checkpoint


@pytest.fixture(scope="session")
def one_graph(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `lm.onnx` in float32, its weights and `lm.json`."""
    directory = tmp_path_factory.mktemp("one_graph")
    lm_tensorrt_rtx.export(Checkpoint.open(checkpoint), directory, "fp32", 4096)
    return directory


@pytest.fixture(scope="session")
def two_graphs(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `text.onnx` and `audio.onnx` in float32, their weights and `lm.json`."""
    directory = tmp_path_factory.mktemp("two_graphs")
    lm.export(Checkpoint.open(checkpoint), directory, "fp32", 4096)
    return directory


@pytest.fixture(scope="session")
def two_int4_graphs(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `two_graphs`, with weights in int4, whose products round activations to 8 bits."""
    directory = tmp_path_factory.mktemp("two_int4_graphs")
    lm.export(Checkpoint.open(checkpoint), directory, "int4", 4096)
    return directory
