"""The made checkpoint under Boson's original names, as the hub's first revision had it.

It writes what convert/layouts.py reads, independently of it, so that the two check each other.

published/ holds the configurations as Boson published them, every field: of the language model at the hub's revision
10840182 of bosonai/higgs-audio-v2-generation-3B-base, of the codec at 9d4988fb of bosonai/higgs-audio-v2-tokenizer,
read from a public copy of both repositories. That copy's index names 397 tensors, none of them split. Of the codec's
model.pth only the number of tensors is known, 602: the names follow from Boson's classes and from HuBERT base, which
has one more than transformers' codec, `masked_spec_embed`.
"""

import json
from pathlib import Path
from typing import Any

import torch

PUBLISHED = Path(__file__).resolve().parent / "published"
HUBERT_LEFTOVER = "semantic_model.masked_spec_embed"  # a vector of HuBERT's training that encoding does not need


def published(name: str) -> dict[str, Any]:
    """A configuration as Boson published it."""
    content: dict[str, Any] = json.loads((PUBLISHED / f"{name}.json").read_text())
    return content


def boson_config(config: dict[str, Any]) -> dict[str, Any]:
    """Boson's config.json for the model that transformers' `config` describes."""
    original = published("boson_config")
    shapes = [
        "head_dim",
        "hidden_size",
        "intermediate_size",
        "num_attention_heads",
        "num_hidden_layers",
        "num_key_value_heads",
        "vocab_size",
    ]
    end_of_text = config["pad_token_id"]
    text = {key: config[key] for key in shapes} | {"bos_token_id": end_of_text - 1, "eos_token_id": end_of_text}
    return original | {
        "audio_codebook_size": config["codebook_size"] - 2,
        "audio_dual_ffn_layers": list(range(config["num_hidden_layers"])),
        "audio_encoder_config": original["audio_encoder_config"] | {"pad_token_id": end_of_text},
        "audio_eos_token_id": config["audio_bos_token_id"] - 1,
        "audio_ffn_hidden_size": config["hidden_size"],
        "audio_ffn_intermediate_size": config["intermediate_size"],
        "audio_in_token_idx": config["audio_token_id"] - 1,
        "audio_num_codebooks": config["num_codebooks"],
        "audio_out_bos_token_id": config["audio_bos_token_id"],
        "audio_out_token_idx": config["audio_token_id"],
        "hidden_size": config["hidden_size"],
        "pad_token_id": end_of_text,
        "text_config": original["text_config"] | text,
        "torch_dtype": config["dtype"],
    }


def boson_generation_config(config: dict[str, Any]) -> dict[str, Any]:
    """Boson's generation_config.json, which says nothing of repetition-aware sampling."""
    end_of_text = config["pad_token_id"]
    ids = {"bos_token_id": end_of_text - 1, "eos_token_id": end_of_text, "pad_token_id": end_of_text}
    return published("boson_generation_config") | ids


def boson_name(name: str) -> str:
    """Boson's name for the language model's tensor that transformers calls `name`."""
    if name.startswith("model.embed_audio_tokens."):
        return "audio_codebook_embeddings.weight"
    if name.endswith("lm_head.weight"):
        return f"audio_decoder_proj.{name}"
    return name.removeprefix("model.")


def boson_codec_config(config: Any) -> dict[str, Any]:
    """Boson's config.json of the codec: arguments of its HiggsAudioTokenizer class."""
    return published("boson_codec_config") | {
        "D": config.acoustic_model_config.hidden_size,
        "bins": config.codebook_size,
        "codebook_dim": config.codebook_dim,
        "n_q": config.num_quantizers,
        "ratios": list(config.acoustic_model_config.downsampling_ratios),
        "sample_rate": config.sample_rate,
    }


def boson_codec_state(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Boson's names, with the weight norm that Boson's DAC keeps in its checkpoint: weight = g * v / |v|."""
    named: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        original = boson_codec_name(name)
        is_dac_convolution = name.startswith(("acoustic_encoder", "acoustic_decoder")) and tensor.dim() == 3
        if is_dac_convolution and name.endswith(".weight"):
            norm = tensor.norm(dim=(1, 2), keepdim=True)
            named[f"{original}_g"] = norm
            named[f"{original}_v"] = tensor * 2  # its length means nothing; a power of two keeps every bit
        else:
            named[original] = tensor
    named[HUBERT_LEFTOVER] = torch.zeros_like(state["semantic_model.encoder.layer_norm.weight"])
    return named


def boson_codec_name(name: str) -> str:
    """Boson's name for the codec's tensor that transformers calls `name`."""
    part, _, rest = name.partition(".")
    if part == "acoustic_encoder":
        return "encoder.block." + _dac_place(rest, unit_offset=-1, before_units=(), after_units=("snake1", "conv1"))
    if part == "acoustic_decoder":
        return "decoder_2.model." + _dac_place(rest, unit_offset=1, before_units=("snake1", "conv_t1"), after_units=())
    if part == "quantizer":
        return name.replace("quantizer.quantizers.", "quantizer.vq.layers.").replace(".codebook.", "._codebook.")
    if part in ("encoder_semantic", "decoder_semantic"):
        # Boson's semantic convolutions are wrapped in a module of their own, except the 1x1 ones.
        stem, _, leaf = name.rpartition(".")
        return name if ".res_units." in name and stem.endswith("conv2") else f"{stem}.conv.{leaf}"
    renamed = {"fc": "fc_prior", "fc1": "fc_post1", "fc2": "fc_post2"}
    return f"{renamed.get(part, part)}.{rest}"


def _dac_place(name: str, unit_offset: int, before_units: tuple[str, ...], after_units: tuple[str, ...]) -> str:
    """A DAC tensor's place in Boson's nested sequences, whose items are numbered and not named."""
    outer = {"conv1": 0, "snake1": 6, "conv2": 7}  # around five blocks
    inner = ("snake1", "conv1", "snake2", "conv2")
    parts = name.split(".")
    if parts[0] != "block":
        return f"{outer[parts[0]]}.{parts[1]}"
    block, layer = int(parts[1]) + 1, parts[2]
    if layer.startswith("res_unit"):
        unit = int(layer.removeprefix("res_unit")) + unit_offset
        return f"{block}.block.{unit}.block.{inner.index(parts[3])}.{parts[4]}"
    place = before_units.index(layer) if before_units else 3 + after_units.index(layer)
    return f"{block}.block.{place}.{parts[3]}"
