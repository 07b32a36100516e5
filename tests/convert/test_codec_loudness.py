"""An exported decoder is compared in deviations of its audio, so that a loud codec is as good as a quiet one."""

import copy
from contextlib import contextmanager

import numpy as np
import onnx
import pytest
import torch

from convert.codec_export import check_decoder
from convert.errors import ExportError


@contextmanager
def louder(codec, scale):
    """The codec with its last layer scaled, and so all audio."""
    last = codec.acoustic_decoder.conv2
    before = copy.deepcopy(last.state_dict())
    with torch.no_grad():
        for parameter in last.parameters():
            parameter.mul_(scale)
    yield
    last.load_state_dict(before)


def last_layer(decoder):
    """The same layer's weights in an export."""
    return [tensor for tensor in decoder.graph.initializer if "acoustic_decoder.conv2" in tensor.name]


@pytest.mark.parametrize("scale", [0.1, 2, 10])
def test_how_loud_a_codec_is_says_nothing_about_its_export(codec, decoder, tmp_path, scale):
    path, usual = decoder
    changed = onnx.load(path)
    for tensor in last_layer(changed):
        tensor.CopyFrom(
            onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * np.float32(scale), tensor.name)
        )
    onnx.save(changed, tmp_path / "decoder.onnx")
    with louder(codec, scale):
        error = check_decoder(codec, tmp_path / "decoder.onnx")
        assert error.audio_std == pytest.approx(usual.audio_std * scale, rel=0.01)
        assert error.relative < 2e-4
        with louder(codec, 1.01), pytest.raises(ExportError, match="standard deviations away from transformers'"):
            check_decoder(codec, tmp_path / "decoder.onnx")
    with louder(codec, scale), pytest.raises(ExportError, match="standard deviations away from transformers'"):
        check_decoder(codec, path)


def test_silence_is_no_comparison(codec, decoder):
    with louder(codec, 0.0), pytest.raises(ExportError, match="is silent, which would equal anything"):
        check_decoder(codec, decoder[0])
