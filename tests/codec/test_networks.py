"""The codec's networks by whatever engine the settings name: the same samples, and one sentence for what is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from build.rtx import CodecShapes, codec_profile
from runtime.codec import networks, rtx
from runtime.formats.errors import ModelLoadingError
from runtime.formats.window import surrounded
from tests.engine import rtx_standin

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
CONTEXT = 10
SHAPES = CodecShapes(max_batch=4, min_frames=21, typical_frames=30, max_frames=60)


@pytest.fixture(scope="module")
def decoder(bundle: Path) -> Path:
    """The folder of the demo bundle's decoder."""
    return bundle / "model_repository" / "codec_decoder" / "1"


def codes(batch: int, frames: int) -> np.ndarray:
    """Of whole streams of so many frames, as the decoder takes them."""
    some = np.random.default_rng(frames).integers(0, 1024, (batch, 8, frames)).astype(np.int32)
    return surrounded(some, 0, frames, CONTEXT)


def test_samples_through_the_engines_api_equal_onnx_runtimes(decoder: Path) -> None:
    plain = networks.open_network(decoder, "decoder", {"threads": 0})  # the stand-in's: how sums are rounded follows it
    engine = rtx_standin.Engine(decoder / "decoder.onnx", [codec_profile(SHAPES)])
    network = rtx.RtxNetwork(rtx_standin.MODULE, engine, CPU)
    for batch, frames in ((1, 1), (4, 40), (2, 13), (1, 7)):
        found = network(codes(batch, frames))
        assert found.dtype == np.float32 and found.shape == (batch, frames * 960)
        np.testing.assert_allclose(found, plain(codes(batch, frames)), atol=1e-6)


def test_a_window_larger_than_the_engine_is_refused_and_the_next_decoded(decoder: Path) -> None:
    engine = rtx_standin.Engine(decoder / "decoder.onnx", [codec_profile(SHAPES)])
    network = rtx.RtxNetwork(rtx_standin.MODULE, engine, CPU)
    with pytest.raises(ValueError, match=r"codes is \[5, 8, 22\]; the engine takes at most \[4, 8, 60\]"):
        network(codes(5, 2))
    assert network(codes(1, 2)).shape == (1, 1920)


def test_what_cannot_be_opened_is_refused_in_one_sentence(decoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ModelLoadingError, match="the codec has no engine 'abacus'; there are onnxruntime, tensorrt and"
    ):
        networks.open_network(decoder, "decoder", {"threads": 1, "engine": "abacus"})
    if not torch.cuda.is_available():
        with pytest.raises(ModelLoadingError, match=r"decoder\.engine is an engine for a GPU, but torch sees none"):
            networks.open_network(decoder, "decoder", {"threads": 1, "engine": "tensorrt-rtx"})
    for name in ("tensorrt_rtx", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModelLoadingError, match="TensorRT-RTX is not installed"):
        networks.open_network(decoder, "decoder", {"threads": 1, "engine": "tensorrt-rtx"})


def test_an_engine_of_something_else_is_refused(bundle: Path) -> None:
    audio = bundle / "model_repository" / "lm" / "1" / "weights" / "audio.onnx"
    engine = rtx_standin.Engine(audio, [])
    with pytest.raises(ModelLoadingError, match="it must have one input and one output"):
        rtx.RtxNetwork(rtx_standin.MODULE, engine, CPU)
