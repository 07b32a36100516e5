"""The language model as vLLM reads it: transformers' own weights and configuration, from either layout."""

import json
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import HiggsAudioV2ForConditionalGeneration

from convert import lm_vllm
from convert.checkpoint import Checkpoint
from convert.errors import ExportError
from convert.shards import SINGLE_FILE


@pytest.fixture(params=["transformers_checkpoint", "boson_checkpoint", "sharded_checkpoint"])
def source(request):
    return Checkpoint.open(request.getfixturevalue(request.param))


@pytest.mark.parametrize("precision", lm_vllm.FLOAT_TYPES)
def test_every_layout_is_written_as_transformers_reads_it(source, precision, tmp_path):
    lm_vllm.export(source, tmp_path, precision, 4096)
    written = load_file(tmp_path / SINGLE_FILE)
    assert set(written) == set(source.names())
    for name, tensor in written.items():
        assert torch.equal(tensor, source.tensor(name).to(lm_vllm.FLOAT_TYPES[precision])), name
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["max_position_embeddings"] >= 4096
    assert (config["audio_stream_bos_id"], config["audio_stream_eos_id"]) == (
        source.config.layout.stream_bos_id,
        source.config.layout.stream_eos_id,
    )
    loaded: Any = HiggsAudioV2ForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    _, info = loaded
    assert {name for name in info["missing_keys"] if "text_lm_head" not in name} == set()
    lm_vllm.compare(source, tmp_path, precision)


def test_one_changed_row_is_found(source, tmp_path):
    lm_vllm.export(source, tmp_path, "fp32", 4096)
    weights = load_file(tmp_path / SINGLE_FILE)
    weights["model.layers.0.audio_mlp.up_proj.weight"][0] *= 2
    save_file(weights, tmp_path / SINGLE_FILE)
    with pytest.raises(ExportError, match="standard deviations"):
        lm_vllm.compare(source, tmp_path, "fp32")
