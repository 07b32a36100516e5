"""Boson's original codec checkpoint in transformers' terms: names, merged weight norms, and a configuration.

The correspondence of names is that of transformers' own conversion script
(models/higgs_audio_v2_tokenizer/convert_higgs_audio_v2_tokenizer_to_hf.py). Boson's configuration leaves the widths
of the nets to the code; here they are read off the weights.
"""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from convert.errors import ModelLoadingError
from convert.json_values import JsonValues

HUBERT_HEAD_SIZE = 64  # of every HuBERT that the codec was made with
HUBERT_CONVOLUTIONS = 7
UNIT_LAYERS = ("snake1", "conv1", "snake2", "conv2")
# Boson's nets are nested sequences with numbered items; 6 and 7 stand behind the five blocks.
ENDS = {"0": "conv1", "6": "snake1", "7": "conv2"}
Rename = Callable[[re.Match[str]], str]


def _unit(net: str, first_unit: int) -> Rename:
    def rename(found: re.Match[str]) -> str:
        block, unit, layer = (int(number) for number in found.groups())
        return f"{net}.block.{block - 1}.res_unit{unit - first_unit + 1}.{UNIT_LAYERS[layer]}."

    return rename


def _in_block(net: str, layers: dict[str, str]) -> Rename:
    return lambda found: f"{net}.block.{int(found[1]) - 1}.{layers[found[2]]}."


def _end(net: str) -> Rename:
    return lambda found: f"{net}.{ENDS[found[1]]}."


# The first pattern that matches names the tensor anew; a name that none matches is the same in both layouts.
RENAMES: tuple[tuple[re.Pattern[str], Rename], ...] = (
    (re.compile(r"^encoder\.block\.(\d+)\.block\.([012])\.block\.([0-3])\."), _unit("acoustic_encoder", 0)),
    (
        re.compile(r"^encoder\.block\.(\d+)\.block\.([34])\."),
        _in_block("acoustic_encoder", {"3": "snake1", "4": "conv1"}),
    ),
    (re.compile(r"^encoder\.block\.([067])\."), _end("acoustic_encoder")),
    (re.compile(r"^decoder_2\.model\.(\d+)\.block\.([234])\.block\.([0-3])\."), _unit("acoustic_decoder", 2)),
    (
        re.compile(r"^decoder_2\.model\.(\d+)\.block\.([01])\."),
        _in_block("acoustic_decoder", {"0": "snake1", "1": "conv_t1"}),
    ),
    (re.compile(r"^decoder_2\.model\.([067])\."), _end("acoustic_decoder")),
    (re.compile(r"^quantizer\.vq\.layers\.(\d+)\._codebook\."), lambda m: f"quantizer.quantizers.{m[1]}.codebook."),
    (re.compile(r"^quantizer\.vq\.layers\."), lambda m: "quantizer.quantizers."),
    (re.compile(r"^fc_prior\."), lambda m: "fc."),
    (re.compile(r"^fc_post([12])\."), lambda m: f"fc{m[1]}."),
    # The semantic nets wrap each convolution in a module whose only member is `conv`.
    (re.compile(r"^((?:en|de)coder_semantic\..*conv[12]?)\.conv\."), lambda m: f"{m[1]}."),
)
# HuBERT's one weight-normed convolution keeps its norm in transformers, under torch's newer names.
HUBERT_NORMED = "semantic_model.encoder.pos_conv_embed.conv"


def transformers_state(stored: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Boson's tensors under transformers' names, weight norms multiplied out."""
    state = {}
    for name, tensor in stored.items():
        stem, _, leaf = name.rpartition(".")
        if leaf == "weight_v":
            continue
        if leaf == "weight_g" and stem == HUBERT_NORMED:
            state[f"{stem}.parametrizations.weight.original0"] = tensor
            state[f"{stem}.parametrizations.weight.original1"] = stored[f"{stem}.weight_v"]
        elif leaf == "weight_g":
            direction = stored[f"{stem}.weight_v"]
            norm = torch.linalg.vector_norm(direction, dim=tuple(range(1, direction.dim())), keepdim=True)
            state[_renamed(f"{stem}.weight")] = direction * (tensor / norm)
        else:
            state[_renamed(name)] = tensor
    return state


def _renamed(name: str) -> str:
    for pattern, rename in RENAMES:
        if pattern.match(name):
            return pattern.sub(rename, name)
    return name


def boson_codec_config(config: JsonValues, state: dict[str, torch.Tensor], directory: Path) -> dict[str, Any]:
    """transformers' configuration values for Boson's `config`, widths taken from the converted weights `state`.

    Raises:
        ModelLoadingError: the configuration asks for something that the transformers model does not do, or a tensor
            from which a width follows is missing.
    """
    supported = {"semantic_techer": "hubert_base_general", "downsample_mode": "step_down", "vq_scale": 1}
    for key, value in supported.items():
        config.refuse_unless(key, value, default=value)

    def shape(name: str) -> torch.Size:
        if name not in state:
            raise ModelLoadingError(f"{name} is missing from the codec's weights in {directory}.")
        return state[name].shape

    ratios, sample_rate = config.counts("ratios"), config.count("sample_rate")
    codebook_size, num_codebooks = config.count("bins"), config.count("n_q")
    rows, codebook_dim = shape("quantizer.quantizers.0.codebook.embed")
    if rows != codebook_size:
        raise config.wrong("bins", f"{rows}, the rows of the codebooks in the weights,")
    hubert_hidden = shape("semantic_model.encoder.layer_norm.weight")[0]
    layers = {name.split(".")[3] for name in state if name.startswith("semantic_model.encoder.layers.")}
    positional = shape(f"{HUBERT_NORMED}.parametrizations.weight.original1")
    convolutions = [
        shape(f"semantic_model.feature_extractor.conv_layers.{index}.conv.weight")
        for index in range(HUBERT_CONVOLUTIONS)
    ]
    return {
        "target_bandwidths": _bandwidths(num_codebooks, codebook_size, math.ceil(sample_rate / math.prod(ratios))),
        "sample_rate": sample_rate,
        "codebook_size": codebook_size,
        "codebook_dim": codebook_dim,
        "semantic_sample_rate": config.count("semantic_sample_rate") if config.has("semantic_sample_rate") else 16000,
        "acoustic_model_config": {
            "model_type": "dac",
            "encoder_hidden_size": shape("acoustic_encoder.conv1.weight")[0],
            "decoder_hidden_size": shape("acoustic_decoder.conv1.weight")[0],
            "hidden_size": config.count("D"),
            "downsampling_ratios": ratios,
            "upsampling_ratios": ratios,
        },
        "semantic_model_config": {
            "model_type": "hubert",
            "hidden_size": hubert_hidden,
            "num_hidden_layers": len(layers),
            "num_attention_heads": hubert_hidden // HUBERT_HEAD_SIZE,
            "intermediate_size": shape("semantic_model.encoder.layers.0.feed_forward.intermediate_dense.weight")[0],
            "conv_dim": [convolution[0] for convolution in convolutions],
            "conv_kernel": [convolution[2] for convolution in convolutions],
            "num_conv_pos_embeddings": positional[2],
            "num_conv_pos_embedding_groups": hubert_hidden // positional[1],
            "mask_time_prob": 0.0,
        },
    }


def _bandwidths(num_codebooks: int, codebook_size: int, frame_rate: int) -> list[float]:
    """The kbit/s of `num_codebooks`, from which transformers counts them again.

    Boson's own list of bandwidths says what its training chose from; encoding and decoding always use all n_q
    (HiggsAudioTokenizer calls its quantizer without a bandwidth), whatever the list's last entry is.
    """
    bits = math.ceil(math.log2(codebook_size)) * frame_rate
    bandwidth = num_codebooks * bits / 1000
    # transformers rounds the quotient down; where the division above already has, it would count one too few.
    return [bandwidth if int(1000 * bandwidth // bits) == num_codebooks else math.nextafter(bandwidth, math.inf)]
