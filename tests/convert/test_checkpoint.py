"""Loading the language model's checkpoint, and refusing one that is not whole."""

import dataclasses
import hashlib
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import HiggsAudioV2Config, HiggsAudioV2ForConditionalGeneration
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from convert.checkpoint import Checkpoint
from convert.errors import ModelLoadingError
from convert.hub import resolve
from convert.shards import open_shards


def edit_json(file, **changes):
    content = json.loads(file.read_text())
    for key, value in changes.items():
        content.pop(key, None) if value is None else content.update({key: value})
    file.write_text(json.dumps(content))


def edit_weights(directory, edit):
    weights = load_file(directory / "model.safetensors")
    edit(weights)
    save_file(weights, directory / "model.safetensors")


def frequencies(config):
    rope = HiggsAudioV2Config(head_dim=config.head_dim, rope_parameters=config.rope_parameters)
    return ROPE_INIT_FUNCTIONS["llama3"](rope, device="cpu")[0]


def test_tensors_are_those_transformers_loads(transformers_checkpoint):
    checkpoint = Checkpoint.open(transformers_checkpoint)
    model = HiggsAudioV2ForConditionalGeneration.from_pretrained(transformers_checkpoint, dtype=torch.bfloat16)
    parameters = dict(model.named_parameters())
    assert set(checkpoint.names()) == set(parameters)
    for name in checkpoint.names():
        assert torch.equal(checkpoint.tensor(name), parameters[name]), name


def test_config_holds_the_checkpoints_values(transformers_checkpoint):
    config = Checkpoint.open(transformers_checkpoint).config
    assert (config.num_codebooks, config.codebook_size, config.stream_bos_id, config.stream_eos_id) == (
        8,
        1026,
        1024,
        1025,
    )
    # 13, 14 and 16 places into the special tokens, as in the real vocabulary.
    assert (config.audio_bos_token_id, config.audio_delay_token_id, config.audio_token_id) == (269, 270, 272)
    assert (config.ras_win_len, config.ras_win_max_num_repeat) == (7, 2)


@pytest.mark.parametrize("other", ["boson_checkpoint", "sharded_checkpoint"])
def test_every_way_of_storing_gives_the_same_tensors(transformers_checkpoint, other, request):
    first, second = Checkpoint.open(transformers_checkpoint), Checkpoint.open(request.getfixturevalue(other))
    assert first.names() == second.names()
    for name in first.names():
        assert torch.equal(first.tensor(name), second.tensor(name)), name


def test_boson_config_means_the_same_model(transformers_checkpoint, boson_checkpoint):
    first, second = Checkpoint.open(transformers_checkpoint).config, Checkpoint.open(boson_checkpoint).config
    assert torch.equal(frequencies(first), frequencies(second))
    # What Boson published counts positions differently: those of Llama 3.2, of which transformers uses the first.
    written = {"rope_parameters": first.rope_parameters, "max_position_embeddings": first.max_position_embeddings}
    assert dataclasses.replace(second, **written) == first


def split(weights):
    """As Boson trains: some rows frozen. Its published files have them joined."""
    for name in ("embed_tokens", "audio_decoder_proj.audio_lm_head", "audio_decoder_proj.text_lm_head"):
        whole, stem = weights.pop(f"{name}.weight"), name + (".embedding" if name == "embed_tokens" else ".linear")
        weights[f"{stem}_frozen.weight"], weights[f"{stem}_trainable.weight"] = (
            whole[:-128].clone(),
            whole[-128:].clone(),
        )


def test_what_boson_split_is_joined_and_what_nobody_needs_is_left_out(boson_checkpoint, tmp_path):
    copy = shutil.copytree(boson_checkpoint, tmp_path / "copy")
    leftovers = ("audio_codebook_weights", "rotary_emb.inv_freq", "rotary_emb.original_inv_freq")
    edit_weights(copy, lambda weights: (split(weights), weights.update({name: torch.ones(8) for name in leftovers})))
    first, second = Checkpoint.open(boson_checkpoint), Checkpoint.open(copy)
    for name in first.names():
        assert torch.equal(first.tensor(name), second.tensor(name)), name


def test_of_a_single_file_and_shards_the_single_one_is_read_as_transformers_does(
    transformers_checkpoint, boson_checkpoint, tmp_path
):
    """So the hub's folder is: transformers' file beside the shards of Boson's names that were there before."""
    copy = shutil.copytree(transformers_checkpoint, tmp_path / "copy")
    shutil.copy(boson_checkpoint / "model.safetensors", copy / "model-00001-of-00001.safetensors")
    names = load_file(boson_checkpoint / "model.safetensors")
    index = {"weight_map": dict.fromkeys(names, "model-00001-of-00001.safetensors")}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    assert {tensor.file.name for tensor in open_shards(copy).values()} == {"model.safetensors"}
    (copy / "model.safetensors").unlink()  # and if only the shards are left, they are the same weights
    first, second = Checkpoint.open(transformers_checkpoint), Checkpoint.open(copy)
    assert all(torch.equal(first.tensor(name), second.tensor(name)) for name in first.names())


LLAMA3 = {"factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
LLAMA3_AT = LLAMA3 | {"rope_theta": 500000.0}


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_parameters": LLAMA3_AT | {"rope_type": "llama3"}},
        {"rope_parameters": LLAMA3_AT | {"type": "llama3"}},
        {"rope_parameters": LLAMA3 | {"rope_type": "llama3"}, "rope_theta": 500000.0},
        {"rope_scaling": LLAMA3 | {"rope_type": "llama3"}, "rope_theta": 500000.0},
        {"rope_scaling": LLAMA3 | {"type": "llama3"}, "rope_theta": 500000.0},
        {"rope_scaling": LLAMA3 | {"type": "llama3", "rope_type": "llama3"}, "rope_theta": 500000},
        {"rope_scaling": LLAMA3_AT | {"type": "llama3"}, "rope_parameters": LLAMA3_AT | {"rope_type": "llama3"}},
    ],
)
def test_llama3_rope_is_understood_in_every_way_of_writing_it(damaged, rope):
    edit_json(damaged / "config.json", **{"rope_parameters": None} | rope)
    assert Checkpoint.open(damaged).config.rope_parameters == LLAMA3_AT | {"rope_type": "llama3"}


@pytest.mark.parametrize("scaling", [{}, {"rope_scaling": {"type": "default"}}, {"rope_scaling": {}}])
def test_rope_that_is_not_scaled_is_default(damaged, scaling):
    edit_json(damaged / "config.json", **{"rope_parameters": None, "rope_theta": 10000.0} | scaling)
    assert Checkpoint.open(damaged).config.rope_parameters == {"rope_type": "default", "rope_theta": 10000.0}


@pytest.mark.parametrize(
    ("rope", "complaint"),
    [
        *(
            ({"rope_scaling": {"type": kind, "factor": 2.0}}, f"rope_type is '{kind}'; default and llama3")
            for kind in ("linear", "dynamic", "yarn", "longrope", "su", "Llama3")
        ),
        ({"rope_scaling": LLAMA3 | {"type": "llama3", "rope_type": "default"}}, "rope_type is 'default' and type is"),
        ({"rope_scaling": LLAMA3 | {"type": "linear", "rope_type": "llama3"}}, "rope_type is 'llama3' and type is"),
        ({"rope_scaling": LLAMA3}, "scales positions without a rope_type"),
        ({"rope_scaling": {"factor": 8.0}}, "scales positions without a rope_type"),
        ({"rope_scaling": LLAMA3 | {"type": 3}}, "type is 3 where a string"),
        ({"rope_scaling": "llama3"}, "rope_scaling is 'llama3' where an object"),
        ({"rope_scaling": {"type": "llama3", "factor": 8.0}}, "low_freq_factor is None where a number"),
        ({"rope_scaling": LLAMA3 | {"type": "llama3", "factor": 0}}, "factor is 0 where a number above 0"),
        ({"rope_scaling": LLAMA3 | {"type": "llama3", "high_freq_factor": 1.0}}, "more than low_freq_factor 1.0"),
        ({"rope_scaling": LLAMA3 | {"type": "llama3", "rope_theta": 1.0}}, r"rope_theta is given as \[1.0, 500000.0\]"),
        ({"rope_scaling": LLAMA3 | {"type": "llama3"}, "rope_theta": None}, "rope_theta is given as None"),
        (
            {"rope_scaling": {"type": "default"}, "rope_parameters": LLAMA3_AT | {"type": "llama3"}},
            "contradict each other",
        ),
        ({"rope_scaling": {"type": "default", "partial_rotary_factor": 0.5}}, "partial_rotary_factor is 0.5"),
        ({"partial_rotary_factor": 0.25}, "partial_rotary_factor is 0.25"),
    ],
)
def test_rope_of_another_kind_or_of_two_is_refused(damaged, rope, complaint):
    edit_json(damaged / "config.json", **{"rope_parameters": None, "rope_theta": 500000.0} | rope)
    with pytest.raises(ModelLoadingError, match=complaint):
        Checkpoint.open(damaged)


@pytest.mark.parametrize("name", ["transformers_checkpoint", "boson_checkpoint"])
@pytest.mark.parametrize(
    ("says", "window", "repeats"),
    [
        (None, 7, 2),  # no such file
        ({}, 7, 2),
        ({"ras_win_len": 12}, 12, 2),
        ({"ras_win_max_num_repeat": 3}, 7, 3),
        ({"ras_win_len": 64, "ras_win_max_num_repeat": 1}, 64, 1),
        ({"ras_win_len": 0}, 0, 2),
        ({"ras_win_len": -1, "ras_win_max_num_repeat": 4}, 0, 2),
        ({"ras_win_len": "null"}, 0, 2),
        ({"ras_win_max_num_repeat": "null"}, 0, 2),
    ],
)
def test_repetition_aware_sampling_is_on_unless_the_checkpoint_turns_it_off(
    request, tmp_path, name, says, window, repeats
):
    copy = shutil.copytree(request.getfixturevalue(name), tmp_path / "copy")
    file = copy / "generation_config.json"
    file.unlink()
    if says is not None:
        file.write_text(json.dumps(says).replace('"null"', "null"))
    config = Checkpoint.open(copy).config
    assert (config.ras_win_len, config.ras_win_max_num_repeat) == (window, repeats)


@pytest.mark.parametrize(
    ("says", "complaint"),
    [
        ({"ras_win_len": 65}, "ras_win_len is 65 where 64 or less"),
        ({"ras_win_len": "7"}, "ras_win_len is '7' where an integer"),
        ({"ras_win_len": 7.0}, "ras_win_len is 7.0 where an integer"),
        ({"ras_win_max_num_repeat": 0}, "ras_win_max_num_repeat is 0 where 1 or more"),
        ({"ras_win_max_num_repeat": True}, "ras_win_max_num_repeat is True"),
    ],
)
def test_repetition_aware_sampling_that_cannot_be_is_refused(damaged, says, complaint):
    edit_json(damaged / "generation_config.json", **says)
    with pytest.raises(ModelLoadingError, match=complaint):
        Checkpoint.open(damaged)


def test_what_follows_from_the_rest_may_be_left_out(damaged):
    before = Checkpoint.open(damaged).config
    edit_json(damaged / "config.json", head_dim=None)
    assert Checkpoint.open(damaged).config == before
    edit_json(damaged / "config.json", num_key_value_heads=None)
    with pytest.raises(ModelLoadingError, match=r"k_proj.weight has shape \[32, 64\].*asks for \[64, 64\]"):
        Checkpoint.open(damaged)  # as many as heads, which these weights are not


def test_what_suits_a_model_is_read_and_checked(damaged):
    before = Checkpoint.open(damaged).config
    assert (before.chunk_words, before.dialogue_context) == (None, None)
    suiting = {"chunk_words": 10, "dialogue_context": "own"}
    edit_json(damaged / "generation_config.json", **suiting)
    assert Checkpoint.open(damaged).config == dataclasses.replace(before, **suiting)
    for wrong in ({"chunk_words": 0}, {"chunk_words": "ten"}, {"dialogue_context": "everything"}):
        edit_json(damaged / "generation_config.json", **suiting | wrong)
        with pytest.raises(ModelLoadingError, match=next(iter(wrong))):
            Checkpoint.open(damaged)


def test_hashes_are_those_of_the_files(transformers_checkpoint):
    hashes = Checkpoint.open(transformers_checkpoint).file_hashes()
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= set(hashes)
    for name, digest in hashes.items():
        assert digest == hashlib.sha256((transformers_checkpoint / name).read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"codebook_size": 1024}, r"codebook_size 1024 .* stream EOS 1025.*1026"),
        ({"model_type": "llama"}, "model_type is llama"),
        ({"hidden_size": None}, "hidden_size is None where an integer"),
        (
            {"quantization_config": {"quant_method": "gptq"}},
            "quantised already .* the checkpoint they were made of",
        ),
        ({"hidden_size": "64"}, "hidden_size is '64' where an integer"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"hidden_size": 66}, "hidden_size 66 is not a multiple of num_attention_heads 4"),
        ({"hidden_size": 66, "head_dim": None}, "hidden_size 66 is not a multiple of num_attention_heads 4"),
        ({"hidden_size": 0}, "hidden_size is 0 where 1 or more"),
        ({"hidden_size": 64.0}, "hidden_size is 64.0 where an integer"),
        ({"intermediate_size": -128}, "intermediate_size is -128 where 1 or more"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0 where 1 or more"),
        ({"num_hidden_layers": 1}, "1 layers where the weights hold more"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0 where 1 or more"),
        ({"num_attention_heads": 3, "head_dim": None}, "hidden_size 64 is not a multiple of num_attention_heads 3"),
        ({"num_key_value_heads": 0}, "num_key_value_heads is 0 where 1 or more"),
        ({"num_key_value_heads": -2}, "num_key_value_heads is -2 where 1 or more"),
        ({"head_dim": 15}, "head_dim is 15, and rotary positions need an even one"),
        ({"head_dim": 0}, "head_dim is 0 where 1 or more"),
        ({"head_dim": 8}, r"q_proj.weight has shape \[64, 64\] .* asks for \[32, 64\]"),
        ({"rms_norm_eps": 0}, "rms_norm_eps is 0 where a number above 0"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps is nan where a number above 0"),
        ({"max_position_embeddings": 0}, "max_position_embeddings is 0"),
        ({"vocab_size": 200}, "audio_token_id is 272 where a number from 0 to 199"),
        ({"audio_delay_token_id": -1}, "audio_delay_token_id is -1 where a number from 0 to 511"),
        ({"num_codebooks": 0}, "num_codebooks is 0 where 1 or more"),
        ({"num_codebooks": 7}, r"embed_audio_tokens.weight has shape \[8208, 64\] .* asks for \[7182, 64\]"),
        ({"codebook_size": -1}, "codebook_size is -1 where 1 or more"),
        ({"audio_stream_eos_id": 1024}, "must be two different ids"),
        ({"audio_stream_bos_id": -1}, "must be two different ids"),
        ({"num_key_value_heads": 3}, "4 attention heads cannot share 3 KV heads"),
        ({"intermediate_size": 96}, r"mlp.gate_proj.weight has shape \[128, 64\] .* asks for \[96, 64\]"),
    ],
)
def test_config_that_does_not_fit_is_refused(damaged, changes, complaint):
    edit_json(damaged / "config.json", **changes)
    with pytest.raises(ModelLoadingError, match=complaint):
        Checkpoint.open(damaged)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"audio_dual_ffn_layers": [0]}, "each of the 2 layers must have an audio FFN"),
        ({"audio_dual_ffn_layers": [0, "1", None]}, "each of the 2 layers must have an audio FFN"),
        ({"audio_dual_ffn_layers": 2}, "each of the 2 layers must have an audio FFN"),
        ({"audio_dual_ffn_layers": [0, 1, 2]}, "each of the 2 layers must have an audio FFN"),
        ({"audio_adapter_type": "stack"}, "audio_adapter_type stack"),
        ({"use_audio_out_self_attention": 1}, "use_audio_out_self_attention is 1"),
        ({"audio_num_codebooks": 0}, "audio_num_codebooks is 0"),
        ({"audio_out_token_idx": 5000}, "audio_out_token_idx is 5000 where a number from 0 to 511"),
        ({"text_config": []}, r"text_config is \[\] where an object"),
        ({"audio_embed_avg": True}, "audio_embed_avg is True"),
        ({"use_delay_pattern": False}, "use_delay_pattern is False"),
        ({"audio_codebook_size": 1000}, "codebook_size 1002 has no rows"),
    ],
)
def test_boson_variants_that_are_another_model_are_refused(boson_checkpoint, tmp_path, changes, complaint):
    copy = shutil.copytree(boson_checkpoint, tmp_path / "copy")
    edit_json(copy / "config.json", **changes)
    with pytest.raises(ModelLoadingError, match=complaint):
        Checkpoint.open(copy)


def test_missing_tensor_is_named(damaged):
    edit_weights(damaged, lambda weights: weights.pop("model.layers.1.audio_mlp.up_proj.weight"))
    with pytest.raises(ModelLoadingError, match=r"model\.layers\.1\.audio_mlp\.up_proj\.weight is missing"):
        Checkpoint.open(damaged)


def test_half_of_a_split_tensor_is_not_the_tensor(boson_checkpoint, tmp_path):
    copy = shutil.copytree(boson_checkpoint, tmp_path / "copy")
    edit_weights(copy, lambda weights: (split(weights), weights.pop("embed_tokens.embedding_trainable.weight")))
    with pytest.raises(ModelLoadingError, match=r"model\.embed_tokens\.weight is missing"):
        Checkpoint.open(copy)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_missing_file_is_named(damaged, missing):
    (damaged / missing).unlink()
    with pytest.raises(ModelLoadingError, match=missing):
        Checkpoint.open(damaged)


def test_json_that_is_none_is_refused(damaged):
    (damaged / "config.json").write_text("{")
    with pytest.raises(ModelLoadingError, match=r"config\.json is not valid JSON"):
        Checkpoint.open(damaged)


@pytest.mark.parametrize("keep", [0.9, 0.001])
def test_truncated_shard_is_refused(sharded_checkpoint, tmp_path, keep):
    copy = shutil.copytree(sharded_checkpoint, tmp_path / "copy")
    shard = sorted(copy.glob("model-*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[: int(shard.stat().st_size * keep)])
    with pytest.raises(ModelLoadingError, match=rf"{shard.name} .*download it again"):
        Checkpoint.open(copy)


def test_missing_shard_is_named(sharded_checkpoint, tmp_path):
    copy = shutil.copytree(sharded_checkpoint, tmp_path / "copy")
    shard = sorted(copy.glob("model-*.safetensors"))[0]
    shard.unlink()
    with pytest.raises(ModelLoadingError, match=f"{shard.name}, which is missing"):
        Checkpoint.open(copy)


def test_tensor_stored_twice_is_refused(sharded_checkpoint, tmp_path):
    copy = shutil.copytree(sharded_checkpoint, tmp_path / "copy")
    first, second = sorted(copy.glob("model-*.safetensors"))[:2]
    name, tensor = next(iter(load_file(first).items()))
    save_file(load_file(second) | {name: tensor}, second)
    with pytest.raises(ModelLoadingError, match=f"{name} is stored twice"):
        Checkpoint.open(copy)


def test_hub_id_needs_a_revision():
    with pytest.raises(ModelLoadingError, match=r"needs a revision.*replaced in place in 2026"):
        resolve("owner/model")


def test_folder_that_is_not_there_is_not_taken_for_a_hub_id(tmp_path):
    with pytest.raises(ModelLoadingError, match="There is no folder"):
        resolve(tmp_path / "nothing")


def test_hub_that_cannot_be_reached_is_one_sentence(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        ModelLoadingError, match="Could not get owner/model at revision 0123456789abcdef0123456789abcdef01234567"
    ):
        resolve("owner/model", "0123456789abcdef0123456789abcdef01234567")
