"""Random weights for the language model, scaled so that it behaves like a working one.

A plain random initialisation makes a useless stand-in: greedy decoding falls into a loop, stream BOS and EOS appear
anywhere, and attention averages the prompt away. Here
- every branch is scaled to the size it has in a working model, and attention is peaked, so that the output depends on
  the text, the reference and the codes before;
- residual channel 0 is a constant: all embeddings carry it, no layer reads or writes it, and through the final norm
  it is a bias by which the audio head's rows for stream BOS and EOS are set.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from convert.safetensors_writer import TensorSpec
from demo.boson_layout import boson_config, boson_generation_config, boson_name
from demo.sizes import CODEBOOK_SIZE, CODES, NUM_CODEBOOKS, STREAM_BOS, STREAM_EOS, ModelSize
from demo.tokenizer import EOS_TOKEN, token_id, write_json
from demo.weights import write_weights

LOGIT_STD = 3.0  # about ten likely codes per frame at temperature 1, and a clear first one
SCORE_STD = 2.0  # of attention scores before the softmax: a few positions of hundreds carry the weight
ATTENTION_VARIANCE = 0.7  # added to the residual stream by all attention branches together; embeddings have 1
FFN_VARIANCE = 1.0
# Std of an attention's average over values of std 1, in the first and in the last layer, at some hundred positions:
# the deeper, the more positions have in common, and the less an average cancels.
VALUE_SPREAD = (0.2, 0.6)
GATE_SPREAD = 0.5  # std of silu(gate) * up for gate and up of std 1
SIGNAL_VARIANCE = 1 + ATTENTION_VARIANCE + FFN_VARIANCE  # of the residual stream behind the last layer
# Mean square of the constant channel over all channels. So large beside the signal that RMSNorm, which divides by
# both, hardly changes the constant when the signal's size changes.
BIAS_VARIANCE = 3.0
NORM_GAIN = math.sqrt((BIAS_VARIANCE + 2) / 2)  # gives a layer inputs of std 1 about half way up
BIAS_CHANNEL = 0
NEVER_LOGIT = -30.0  # against the best code's +9: never sampled in the lifetime of a test suite
NORM_SPREAD = 0.2  # norm weights lie within 1 ± this, so that exchanging the text and audio norms is noticed
SEED_STRIDE = 1_000_003  # more than there are tensors, so that no two seeds share a stream
MAX_POSITIONS = 2048
TURN_END = "<|eot_id|>"


@dataclass(frozen=True)
class TensorPlan:
    """A tensor that is still to be drawn: its name in transformers' layout, its shape and how it is filled."""

    name: str
    shape: tuple[int, ...]
    std: float  # 0: a norm's weights


def config_json(size: ModelSize, dtype: str) -> dict[str, Any]:
    """transformers' config.json of the language model.

    Every field that transformers 5.23 saves. The published file was read only as a public description quotes it, which
    has the same values at the true size, and not all fields.
    """
    return {
        "architectures": ["HiggsAudioV2ForConditionalGeneration"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "audio_bos_token_id": token_id("<|audio_out_bos|>", size.vocab_size),
        "audio_delay_token_id": token_id("<|reserved_special_token_6|>", size.vocab_size),
        "audio_stream_bos_id": STREAM_BOS,
        "audio_stream_eos_id": STREAM_EOS,
        "audio_token_id": token_id("<|AUDIO_OUT|>", size.vocab_size),
        "bos_token_id": 1,  # as published, though it is no special token
        "codebook_size": CODEBOOK_SIZE,
        "dtype": dtype,
        "eos_token_id": token_id(TURN_END, size.vocab_size),
        "head_dim": size.head_dim,
        "hidden_act": "silu",
        "hidden_size": size.hidden_size,
        "initializer_range": 0.02,
        "intermediate_size": size.intermediate_size,
        "max_position_embeddings": MAX_POSITIONS,
        "mlp_bias": False,
        "model_type": "higgs_audio_v2",
        "num_attention_heads": size.num_heads,
        "num_codebooks": NUM_CODEBOOKS,
        "num_hidden_layers": size.num_layers,
        "num_key_value_heads": size.num_kv_heads,
        "pad_token_id": token_id(EOS_TOKEN, size.vocab_size),
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-05,
        "rope_parameters": {
            "factor": 32.0,
            "high_freq_factor": 0.5,
            "low_freq_factor": 0.125,
            "original_max_position_embeddings": 1024,
            "rope_theta": 500000.0,
            "rope_type": "llama3",
        },
        "tie_word_embeddings": False,
        "transformers_version": version("transformers"),
        "use_cache": True,
        "vocab_size": size.vocab_size,
    }


def write_configs(directory: Path, config: dict[str, Any], suiting: dict[str, Any] | None = None) -> None:
    """Writes transformers' config.json, and generation_config.json with the real one's fields and what suits it."""
    write_json(directory / "config.json", config)
    generation = {
        "bos_token_id": 1,
        "do_sample": True,
        "eos_token_id": config["eos_token_id"],
        "pad_token_id": config["pad_token_id"],
        "ras_win_len": 7,
        "ras_win_max_num_repeat": 2,
        "temperature": 1.0,
        "top_k": 50,
        "top_p": 0.95,
        "transformers_version": version("transformers"),
        "use_cache": True,
        "use_text_head": True,
        **(suiting or {}),
    }
    write_json(directory / "generation_config.json", generation)


def write_language_model(
    directory: Path, size: ModelSize, seed: int, layout: str, eos_rate: float, dtype: str, shard_bytes: int
) -> None:
    """Writes the configuration and the weights, drawn tensor by tensor; see make_checkpoint for the arguments."""
    directory.mkdir(parents=True, exist_ok=True)
    config = config_json(size, dtype)
    if layout == "boson":
        write_json(directory / "config.json", boson_config(config))
        write_json(directory / "generation_config.json", boson_generation_config(config))
    else:
        write_configs(directory, config)
    plans = dict(zip(stored := tensor_specs(size, layout, dtype), enumerate(plan(size)), strict=True))

    def values(spec: TensorSpec) -> torch.Tensor:
        index, tensor = plans[spec]
        return drawn(index, tensor, seed, eos_rate)

    write_weights(directory, stored, values, shard_bytes)


def tensor_specs(size: ModelSize, layout: str, dtype: str) -> list[TensorSpec]:
    """Every tensor of the checkpoint as it is stored, in the order of `plan`."""
    return [
        TensorSpec(
            tensor.name if layout == "transformers" else boson_name(tensor.name), tensor.shape, getattr(torch, dtype)
        )
        for tensor in plan(size)
    ]


def plan(size: ModelSize) -> Iterator[TensorPlan]:
    """Every tensor of the real checkpoint, text head included, in the order in which they are drawn."""
    hidden, ffn = size.hidden_size, size.intermediate_size
    queries, keys = size.num_heads * size.head_dim, size.num_kv_heads * size.head_dim
    one = hidden**-0.5  # std of a weight that keeps a normed input's spread of 1
    projected = math.sqrt(SCORE_STD) * one
    attention = math.sqrt(ATTENTION_VARIANCE / size.num_layers) * queries**-0.5
    feed_forward = math.sqrt(FFN_VARIANCE / size.num_layers) / GATE_SPREAD * ffn**-0.5
    head = LOGIT_STD * one * math.sqrt(1 + BIAS_VARIANCE / SIGNAL_VARIANCE)
    audio_rows = NUM_CODEBOOKS * CODEBOOK_SIZE
    yield TensorPlan("model.embed_tokens.weight", (size.vocab_size, hidden), 1.0)
    embed_audio = "model.embed_audio_tokens.embed_audio_tokens.weight"
    yield TensorPlan(embed_audio, (audio_rows, hidden), NUM_CODEBOOKS**-0.5)
    for index in range(size.num_layers):
        layer = f"model.layers.{index}."
        first, last = VALUE_SPREAD
        spread = first * (last / first) ** (index / (size.num_layers - 1))
        yield TensorPlan(layer + "self_attn.q_proj.weight", (queries, hidden), projected)
        yield TensorPlan(layer + "self_attn.k_proj.weight", (keys, hidden), projected)
        yield TensorPlan(layer + "self_attn.v_proj.weight", (keys, hidden), one)
        yield TensorPlan(layer + "self_attn.o_proj.weight", (hidden, queries), attention / spread)
        for kind in ("", "audio_"):
            yield TensorPlan(f"{layer}{kind}mlp.gate_proj.weight", (ffn, hidden), one)
            yield TensorPlan(f"{layer}{kind}mlp.up_proj.weight", (ffn, hidden), one)
            yield TensorPlan(f"{layer}{kind}mlp.down_proj.weight", (hidden, ffn), feed_forward)
            yield TensorPlan(f"{layer}{kind}input_layernorm.weight", (hidden,), 0.0)
            yield TensorPlan(f"{layer}{kind}post_attention_layernorm.weight", (hidden,), 0.0)
    yield TensorPlan("model.norm.weight", (hidden,), 0.0)
    yield TensorPlan("audio_lm_head.weight", (audio_rows, hidden), head)
    yield TensorPlan("text_lm_head.weight", (size.vocab_size, hidden), head)


def drawn(index: int, tensor: TensorPlan, seed: int, eos_rate: float) -> torch.Tensor:
    """The plan's tensor number `index`, float32; see `make_checkpoint` for the other arguments."""
    # Each tensor has its own random stream, so that values do not depend on the order or layout of writing.
    return draw(tensor, torch.Generator().manual_seed(seed * SEED_STRIDE + index), eos_rate)


def draw(tensor: TensorPlan, generator: torch.Generator, eos_rate: float) -> torch.Tensor:
    """The tensor's random weights, float32, with the constant channel in place.

    `eos_rate` is the chance of EOS per frame in codebook 0, at temperature 1; 0 means never.
    """
    if tensor.std == 0:
        weights = 1 + NORM_SPREAD * (2 * torch.rand(tensor.shape, generator=generator) - 1)
        # The layers do not see the constant; the final norm hands it to the head.
        is_final = tensor.name == "model.norm.weight"
        weights[BIAS_CHANNEL] = float(is_final)
        return weights if is_final else weights * NORM_GAIN
    weights = torch.randn(tensor.shape, generator=generator).mul_(tensor.std)
    hidden = tensor.shape[1]
    if tensor.name == "model.embed_tokens.weight":
        weights[:, BIAS_CHANNEL] = _bias_value(hidden)
    elif "embed_audio_tokens" in tensor.name:
        weights[:, BIAS_CHANNEL] = _bias_value(hidden) / NUM_CODEBOOKS
    elif tensor.name.endswith(("o_proj.weight", "down_proj.weight")):
        weights[BIAS_CHANNEL] = 0.0
    elif tensor.name == "audio_lm_head.weight":
        _set_stream_rows(weights.view(NUM_CODEBOOKS, CODEBOOK_SIZE, hidden), eos_rate)
    elif tensor.name == "text_lm_head.weight":
        weights[:, BIAS_CHANNEL] = 0.0
    return weights


def _bias_value(hidden: int) -> float:
    return math.sqrt(BIAS_VARIANCE * hidden)


def _set_stream_rows(head: torch.Tensor, eos_rate: float) -> None:
    """Sets the rows of stream BOS and EOS in `head` [codebooks, codebook_size, hidden]."""
    # What the constant channel is behind the final norm.
    bias = _bias_value(head.shape[-1]) / math.sqrt(SIGNAL_VARIANCE + BIAS_VARIANCE)
    head[:, :, BIAS_CHANNEL] = 0.0
    never = head.new_zeros(head.shape[-1])
    never[BIAS_CHANNEL] = NEVER_LOGIT / bias
    head[:, STREAM_BOS] = never
    head[:, STREAM_EOS] = never
    if eos_rate == 0:
        return
    # A constant logit: the chance of the end depends neither on the text nor on what was said before.
    head[0, STREAM_EOS] = never * (_eos_logit(eos_rate) / NEVER_LOGIT)


def _eos_logit(eos_rate: float) -> float:
    """The logit whose softmax probability beside 1024 random ones is `eos_rate` on average."""
    codes = torch.randn(4096, CODES, generator=torch.Generator().manual_seed(0)) * LOGIT_STD
    return math.log(eos_rate) - float(torch.exp(-codes.logsumexp(dim=1)).mean().log())
