"""The published checkpoints' files, real in every name and size, sparse in their data, beside the made ones."""

import json

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from convert.checkpoint import Checkpoint, required_shapes
from convert.codec import BOSON_WEIGHTS, in_transformers_terms
from convert.errors import ModelLoadingError
from convert.torchaudio_shim import codec_class, install
from demo.boson_layout import boson_codec_config, boson_codec_state, boson_config, boson_generation_config, published
from demo.codec import codec_config
from demo.language_model import config_json, tensor_specs, write_configs
from demo.sizes import SIZES
from demo.tokenizer import build_tokenizer, write_boson_text_side, write_json
from demo.weights import write_weights

TRUE = SIZES["true"]
SHARD_BYTES = 5_000_000_000
# What the index of the hub's revision 10840182 says.
TOTAL_BYTES, LAYERS = 11_542_566_912, 28
OUTSIDE_LAYERS = {
    "audio_codebook_embeddings.weight",
    "audio_decoder_proj.audio_lm_head.weight",
    "audio_decoder_proj.text_lm_head.weight",
    "embed_tokens.weight",
    "norm.weight",
}
IN_LAYER = {
    *(f"self_attn.{part}_proj" for part in "qkvo"),
    *(f"{mlp}.{part}_proj" for mlp in ("mlp", "audio_mlp") for part in ("gate", "up", "down")),
    *("input_layernorm", "post_attention_layernorm", "audio_input_layernorm", "audio_post_attention_layernorm"),
}
PTH_BYTES = 806_000_000  # of model.pth on the hub, as its page rounds it


@pytest.fixture(scope="module", params=["boson", "transformers"])
def sparse(request, tmp_path_factory):
    """The language model's folder at the true size: configurations, tokenizer, and shards without data."""
    directory, config = tmp_path_factory.mktemp(request.param), config_json(TRUE, "bfloat16")
    write_weights(directory, tensor_specs(TRUE, request.param, "bfloat16"), None, SHARD_BYTES)
    if request.param == "boson":
        write_json(directory / "config.json", boson_config(config))
        write_json(directory / "generation_config.json", boson_generation_config(config))
        write_boson_text_side(directory, build_tokenizer(TRUE.vocab_size))
    else:
        write_configs(directory, config)
    return directory


@pytest.fixture(scope="module")
def codec_shapes():
    install()
    with torch.device("meta"):
        model = codec_class()(codec_config(TRUE.codec))
    return model.config, boson_codec_state(model.state_dict())


def write_sparse_codec(directory, config, shapes):
    """config.json, and a model.pth as long as if its data were there."""
    write_json(directory / "config.json", config)
    with FakeTensorMode(), torch.serialization.skip_data(materialize_fake_tensors=True):
        torch.save(
            {name: torch.empty(one.shape, dtype=one.dtype) for name, one in shapes.items()}, directory / "model.pth"
        )


def read_sparse_codec(directory):
    with FakeTensorMode():
        stored = torch.load(directory / BOSON_WEIGHTS, weights_only=True)
    return in_transformers_terms(stored, directory)


def test_made_configurations_have_every_published_field_and_at_the_true_size_every_value():
    for size in ("tiny", "true"):
        config = config_json(SIZES[size], "bfloat16")
        made = boson_config(config)
        original = published("boson_config")
        assert made.keys() == original.keys() and made["text_config"].keys() == original["text_config"].keys()
        assert boson_generation_config(config).keys() == published("boson_generation_config").keys()
    assert made == original
    assert boson_generation_config(config) == published("boson_generation_config")
    assert boson_codec_config(codec_config(TRUE.codec)) == published("boson_codec_config")
    assert published("boson_codec_config")["target_bandwidths"] == [0.5, 1, 1.5, 2, 4]
    assert not [key for key in published("boson_generation_config") if key.startswith("ras")]


def test_boson_s_names_are_those_of_the_published_index():
    names = {spec.name for spec in tensor_specs(TRUE, "boson", "bfloat16")}
    assert names == OUTSIDE_LAYERS | {f"layers.{i}.{part}.weight" for i in range(LAYERS) for part in IN_LAYER}


def test_the_language_model_s_real_names_and_shapes_are_accepted(sparse):
    index = json.loads((sparse / "model.safetensors.index.json").read_text())
    files = [sparse / name for name in sorted(set(index["weight_map"].values()))]
    assert len(index["weight_map"]) == 397 and len(files) == 3
    assert index["metadata"]["total_size"] == TOTAL_BYTES < sum(file.stat().st_size for file in files)
    assert sum(file.stat().st_blocks * 512 for file in files) < 10_000_000, "the files must stay sparse"
    checkpoint = Checkpoint.open(sparse)
    assert len(checkpoint.names()) == 396  # all but the text head
    assert checkpoint.stored_types() == {"BF16"}
    config = checkpoint.config
    assert (config.audio_bos_token_id, config.audio_delay_token_id, config.audio_token_id) == (128013, 128014, 128016)
    assert (config.ras_win_len, config.ras_win_max_num_repeat) == (7, 2)
    assert required_shapes(config)["audio_lm_head.weight"] == (8 * 1026, 3072)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"vocab_size": 128250}, r"embed_tokens\.weight has shape \[128256, 3072\]"),
        ({"num_key_value_heads": 24}, r"k_proj\.weight has shape \[1024, 3072\]"),
        ({"num_hidden_layers": 27, "audio_dual_ffn_layers": list(range(27))}, r"27 layers where the weights hold more"),
        ({"num_hidden_layers": 29, "audio_dual_ffn_layers": list(range(29))}, r"layers\.28\.\S+ is missing"),
        ({"num_codebooks": 12, "audio_num_codebooks": 12}, r"embed_audio_tokens\.weight has shape \[8208, 3072\]"),
    ],
)
def test_a_configuration_that_asks_for_other_shapes_is_refused(sparse, changes, complaint, tmp_path):
    for file in sparse.iterdir():
        (tmp_path / file.name).symlink_to(file)
    content = json.loads((sparse / "config.json").read_text())
    for part in (content, content.get("text_config", {})):
        part |= {key: value for key, value in changes.items() if key in part}
    (tmp_path / "config.json").unlink()
    write_json(tmp_path / "config.json", content)
    with pytest.raises(ModelLoadingError, match=complaint):
        Checkpoint.open(tmp_path)


def test_the_codec_s_real_names_and_shapes_are_accepted(codec_shapes, tmp_path):
    config, shapes = codec_shapes
    write_sparse_codec(tmp_path, boson_codec_config(config), shapes)
    stat = (tmp_path / BOSON_WEIGHTS).stat()
    assert len(shapes) == 602
    assert abs(stat.st_size - PTH_BYTES) < 1_000_000
    assert stat.st_blocks * 512 < 10_000_000, "the file must stay sparse"
    found, state = read_sparse_codec(tmp_path)
    assert (found.num_quantizers, found.hop_length, found.frame_rate, found.codebook_dim) == (8, 960, 25, 64)
    assert found.semantic_model_config.num_attention_heads == 12
    assert len(state) == 528  # a weight norm's two tensors are one weight


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (lambda config, shapes: shapes.pop("fc_post2.bias"), r"fc2\.bias is missing"),
        (
            lambda config, shapes: shapes.update({"fc_post2.bias": shapes["fc_post1.bias"]}),
            r"\[768\] .* \[256\] is needed",
        ),
        (lambda config, shapes: shapes.pop("encoder.block.0.bias"), r"acoustic_encoder\.conv1\.bias is missing"),
        (lambda config, shapes: config.update(D=128), r"has shape .* is needed"),
        (lambda config, shapes: config.update(bins=2048), r"bins is 2048 where 1024"),
        (lambda config, shapes: config.update(ratios=[8, 5, 4, 2]), r"has shape|is missing"),
    ],
)
def test_a_codec_that_does_not_fit_its_configuration_is_refused(codec_shapes, tmp_path, edit, complaint):
    config, shapes = boson_codec_config(codec_shapes[0]), dict(codec_shapes[1])
    edit(config, shapes)
    write_sparse_codec(tmp_path, config, shapes)
    with pytest.raises(ModelLoadingError, match=complaint):
        read_sparse_codec(tmp_path)
