"""Loading the language model's checkpoint, and refusing one that is not whole.

Run: python -m pytest tests/convert/test_checkpoint.py
"""

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
from convert.export import export
from convert.hub import resolve


@pytest.fixture
def damaged(transformers_checkpoint, tmp_path):
    """A copy of a checkpoint that a test may damage."""
    return shutil.copytree(transformers_checkpoint, tmp_path / "damaged")


def edit_json(file, **changes):
    content = json.loads(file.read_text())
    for key, value in changes.items():
        content.pop(key) if value is None else content.update({key: value})
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
    assert dataclasses.replace(second, rope_parameters=first.rope_parameters) == first


def test_boson_split_tensors_are_really_split(boson_checkpoint):
    stored = load_file(boson_checkpoint / "model.safetensors")
    assert "embed_tokens.embedding_trainable.weight" in stored
    assert "audio_decoder_proj.audio_lm_head.linear_frozen.weight" in stored
    assert not any(name.startswith("model.") for name in stored)


def test_rope_of_transformers_4_is_understood(damaged):
    rope = json.loads((damaged / "config.json").read_text())["rope_parameters"]
    theta = rope.pop("rope_theta")
    before = Checkpoint.open(damaged).config
    edit_json(damaged / "config.json", rope_parameters=None, rope_scaling=rope, rope_theta=theta)
    assert Checkpoint.open(damaged).config == before


def test_generation_config_is_optional(damaged):
    (damaged / "generation_config.json").unlink()
    config = Checkpoint.open(damaged).config
    assert (config.ras_win_len, config.ras_win_max_num_repeat) == (None, None)


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
        ({"hidden_size": "64"}, "hidden_size is '64' where an integer"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1.0}}, "rope_type is 'yarn'"),
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
        ({"audio_adapter_type": "stack"}, "audio_adapter_type stack"),
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
    edit_weights(copy, lambda weights: weights.pop("embed_tokens.embedding_trainable.weight"))
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


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (b"", "needs a weight_map"),
        (b"{", "needs a weight_map"),
        (b"[]", "needs a weight_map"),
        (b"{}", "needs a weight_map"),
        (b'{"weight_map": []}', "needs a weight_map"),
        (b'{"weight_map": null}', "needs a weight_map"),
        (b"\xff\xfe\x00", "needs a weight_map"),
        (b"[" * 100_000, "needs a weight_map"),
        (b'{"weight_map": {}}', "names no weights"),
        (b'{"weight_map": {"a": "gone.safetensors"}}', "names gone.safetensors, which is missing"),
        (b'{"weight_map": {"a": "../model.safetensors"}}', "is no file of its folder"),
        (b'{"weight_map": {"a": "/etc/passwd"}}', "is no file of its folder"),
        (b'{"weight_map": {"a": ".."}}', "is no file of its folder|which is missing"),
        (b'{"weight_map": {"a": "x\\u0000y"}}', "is no file of its folder"),
        (b'{"weight_map": {"a": 7}}', "is no file of its folder"),
        (b'{"weight_map": {"a": ["model.safetensors"]}}', "is no file of its folder"),
        (b'{"weight_map": {"a": "config.json"}}', "is not a safetensors file"),
    ],
)
def test_a_damaged_index_is_refused_in_one_sentence(damaged, index, words):
    (damaged / "model.safetensors.index.json").write_bytes(index)
    with pytest.raises(ModelLoadingError, match=words) as error:
        Checkpoint.open(damaged)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
@pytest.mark.parametrize("content", [b"", b"[]", b"7", b"{", b"\xff\xff", b"[" * 100_000])
def test_a_damaged_description_is_refused_in_one_sentence(damaged, name, content):
    (damaged / name).write_bytes(content)
    with pytest.raises(ModelLoadingError, match=name) as error:
        Checkpoint.open(damaged)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"{", b"\xff\xff", b'{"model": {"type": "BPE"}}', None])
def test_a_damaged_tokenizer_is_refused_before_anything_is_made(damaged, tmp_path, content):
    tokenizer = damaged / "tokenizer.json"
    tokenizer.unlink(missing_ok=True)
    if content is not None:
        tokenizer.write_bytes(content)
    with pytest.raises(ModelLoadingError, match=r"tokenizer\.json"):
        export(str(damaged), tmp_path / "exports", codec=str(damaged))
    assert not list(tmp_path.glob("exports*"))
