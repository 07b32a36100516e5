"""The made checkpoint under Boson's original names, as the hub's first revision had it.

Written from the other side than convert/layouts.py reads it, so that the two check each other.
"""

from typing import Any

# Rows that Boson trained on top of a frozen Llama: its audio tokens, and the stream ids of the last codebook here.
TRAINED_ROWS = 128


def boson_config(config: dict[str, Any]) -> dict[str, Any]:
    """Boson's config.json for the model that transformers' `config` describes."""
    body_keys = (
        "attention_bias",
        "attention_dropout",
        "bos_token_id",
        "head_dim",
        "hidden_act",
        "hidden_size",
        "initializer_range",
        "intermediate_size",
        "max_position_embeddings",
        "mlp_bias",
        "num_attention_heads",
        "num_hidden_layers",
        "num_key_value_heads",
        "rms_norm_eps",
        "tie_word_embeddings",
        "use_cache",
        "vocab_size",
    )
    eot = config["eos_token_id"]
    return {
        "architectures": ["HiggsAudioModel"],
        "audio_adapter_type": "dual_ffn_fast_forward",
        "audio_bos_token": "<|audio_bos|>",
        "audio_codebook_size": config["codebook_size"] - 2,
        "audio_decoder_proj_num_layers": 0,
        "audio_dual_ffn_layers": list(range(config["num_hidden_layers"])),
        "audio_embed_avg": False,
        "audio_eos_token": "<|audio_eos|>",
        "audio_eos_token_id": config["audio_bos_token_id"] - 1,
        "audio_ffn_hidden_size": config["hidden_size"],
        "audio_ffn_intermediate_size": config["intermediate_size"],
        "audio_in_token": "<|AUDIO|>",
        "audio_in_token_idx": config["audio_token_id"] - 1,
        "audio_num_codebooks": config["num_codebooks"],
        "audio_out_bos_token": "<|audio_out_bos|>",
        "audio_out_bos_token_id": config["audio_bos_token_id"],
        "audio_out_token": "<|AUDIO_OUT|>",
        "audio_out_token_idx": config["audio_token_id"],
        "audio_stream_bos_id": config["audio_stream_bos_id"],
        "audio_stream_eos_id": config["audio_stream_eos_id"],
        "encode_audio_in_tokens": True,
        "encode_whisper_embed": False,
        "model_type": "higgs_audio",
        "pad_token_id": config["pad_token_id"],
        "skip_audio_tower": True,
        "text_config": {
            **{key: config[key] for key in body_keys},
            "eos_token_id": [config["pad_token_id"], eot - 1, eot],
            "model_type": "llama",
            # The same frequencies as transformers' 0.125 / 0.5 over 1024 positions.
            "rope_scaling": {
                "factor": 32.0,
                "high_freq_factor": 4.0,
                "low_freq_factor": 1.0,
                "original_max_position_embeddings": 8192,
                "rope_type": "llama3",
            },
            "rope_theta": config["rope_parameters"]["rope_theta"],
        },
        "torch_dtype": config["dtype"],
        "use_audio_out_embed_projector": False,
        "use_audio_out_self_attention": False,
        "use_delay_pattern": True,
    }


def boson_parts(name: str, rows: int) -> dict[str, slice]:
    """Boson's names for transformers' tensor `name` of `rows` rows, each with the rows it holds."""
    split, trained = rows - TRAINED_ROWS, slice(rows - TRAINED_ROWS, rows)
    if name == "model.embed_tokens.weight":
        stem = "embed_tokens.embedding"
    elif name.endswith("lm_head.weight"):
        stem = f"audio_decoder_proj.{name.removesuffix('.weight')}.linear"
    elif name.startswith("model.embed_audio_tokens."):
        return {"audio_codebook_embeddings.weight": slice(0, rows)}
    else:
        return {name.removeprefix("model."): slice(0, rows)}
    return {f"{stem}_frozen.weight": slice(0, split), f"{stem}_trainable.weight": trained}


def boson_codec_config(config: Any) -> dict[str, Any]:
    """Boson's config.json of the codec: the arguments of its HiggsAudioTokenizer class."""
    return {
        "D": config.acoustic_model_config.hidden_size,
        "bins": config.codebook_size,
        "causal": False,
        "codebook_dim": config.codebook_dim,
        "downsample_mode": "step_down",
        "last_layer_semantic": True,
        "merge_mode": "concat",
        "n_filters": 32,
        "n_q": config.num_quantizers,
        "normalize": False,
        "ratios": list(config.acoustic_model_config.downsampling_ratios),
        "sample_rate": config.sample_rate,
        "semantic_mode": "classic",
        "semantic_sample_rate": config.semantic_sample_rate,
        "semantic_techer": "hubert_base_general",
        "target_bandwidths": list(config.target_bandwidths),
        "vq_scale": 1,
    }


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
