"""The language model as a TensorRT-LLM 1.2.1 checkpoint, which `trtllm-build` compiles with build/higgs_network.py.

`config.json` and `rank0.safetensors` are TensorRT-LLM's own format. Text and audio FFN are side by side in one tensor
as experts 0 and 1 of a mixture that the network routes by modality; both sets of norms are kept; the audio head is the
`lm_head`, and the text head is dropped, since a prompt always ends where audio begins. The audio embedding is not part
of the engine: the engine reads sums of its rows from each request's prompt table, so it is stored beside the engine, in
`audio_embedding.safetensors`. One tensor is in memory at a time.

How each precision reaches the engine (tensorrt_llm/models/modeling_utils.py, `preprocess_weights`):

- fp32, bf16: as they are.
- int8, int4: the file holds bf16 and config.json asks for W8A16 or W4A16. TensorRT-LLM rounds the layers' weights while
  it loads them, one scale per output channel, into a layout that depends on the GPU and is not meant to be stored.
- fp8: the layers' weights are stored as e4m3, one scale per matrix and expert, with the static scales of their inputs,
  all computed here (convert/fp8.py). The loader takes them as they are.

Embeddings, head and norms are never rounded below bf16.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from convert import fp8
from convert.checkpoint import Checkpoint
from convert.config import LanguageModelConfig
from convert.lm import describe
from convert.safetensors_writer import SafetensorsWriter, TensorSpec
from runtime.engine.types import AUDIO_EMBEDDING, ModelDescription

CONFIG, WEIGHTS = "config.json", "rank0.safetensors"
ARCHITECTURE = "HiggsAudioV2ForCausalLM"
EXPERTS = ("", "audio_")  # what transformers' names of expert 0 and of expert 1 begin with
_AUDIO_SOURCE = "model.embed_audio_tokens.embed_audio_tokens.weight"


@dataclass(frozen=True)
class Precision:
    """`dtype` of what is not quantised, and TensorRT-LLM's name for the quantisation of the layers' matrices."""

    name: str
    dtype: torch.dtype
    quant_algo: str | None = None

    @property
    def dtype_name(self) -> str:
        """TensorRT-LLM's name of `dtype`."""
        return str(self.dtype).removeprefix("torch.")


PRECISIONS = {
    p.name: p
    for p in (
        Precision("fp32", torch.float32),
        Precision("bf16", torch.bfloat16),
        Precision("fp8", torch.bfloat16, "FP8"),
        Precision("int8", torch.bfloat16, "W8A16"),
        Precision("int4", torch.bfloat16, "W4A16"),
    )
}


@dataclass(frozen=True)
class Weight:
    """A tensor of the checkpoint: transformers' tensors joined along dimension 0, then viewed in `shape`."""

    name: str
    shape: tuple[int, ...]
    sources: tuple[str, ...]
    is_matrix: bool = False  # of a layer: what the quantised precisions quantise

    @property
    def linear(self) -> str:
        """The linear layer it belongs to, under which its scales are named."""
        return self.name.removesuffix(".weight")

    def read(self, checkpoint: Checkpoint) -> torch.Tensor:
        return torch.cat([checkpoint.tensor(source) for source in self.sources]).view(self.shape)


def plan(config: LanguageModelConfig) -> list[Weight]:
    """Every tensor of `rank0.safetensors` but the scales, in the order in which they are written."""
    hidden, audio_rows = config.hidden_size, config.num_codebooks * config.codebook_size
    return [
        Weight("transformer.vocab_embedding.weight", (config.vocab_size, hidden), ("model.embed_tokens.weight",)),
        *(weight for index in range(config.num_layers) for weight in _layer(config, index)),
        Weight("transformer.ln_f.weight", (hidden,), ("model.norm.weight",)),
        Weight("lm_head.weight", (audio_rows, hidden), ("audio_lm_head.weight",)),
    ]


def _layer(config: LanguageModelConfig, index: int) -> list[Weight]:
    hidden, ffn = config.hidden_size, config.intermediate_size
    queries, keys = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim

    def weight(name: str, shape: tuple[int, ...], *sources: str) -> Weight:
        parts = tuple(f"model.layers.{index}.{source}.weight" for source in sources)
        return Weight(f"transformer.layers.{index}.{name}.weight", shape, parts, is_matrix=len(shape) > 1)

    # The gated half comes second: TensorRT-LLM's swiglu is the first half times silu of the second.
    up_gate = (f"{e}mlp.{half}_proj" for e in EXPERTS for half in ("up", "gate"))
    return [
        weight("attention.qkv", (queries + 2 * keys, hidden), *(f"self_attn.{part}_proj" for part in "qkv")),
        weight("attention.dense", (hidden, queries), "self_attn.o_proj"),
        weight("mlp.fc", (len(EXPERTS), 2 * ffn, hidden), *up_gate),
        weight("mlp.proj", (len(EXPERTS), hidden, ffn), *(f"{e}mlp.down_proj" for e in EXPERTS)),
        *(weight(f"{e}input_layernorm", (hidden,), f"{e}input_layernorm") for e in EXPERTS),
        *(weight(f"{e}post_layernorm", (hidden,), f"{e}post_attention_layernorm") for e in EXPERTS),
    ]


def export(checkpoint: Checkpoint, directory: Path, precision: str = "bf16", max_positions: int = 4096) -> None:
    """Write config.json, rank0.safetensors, audio_embedding.safetensors and lm.json into `directory`.

    `max_positions` limits prompt plus generated columns of one stream: the engine's rotary table is that long.
    """
    directory.mkdir(parents=True, exist_ok=True)
    config, kind = checkpoint.config, PRECISIONS[precision]
    if kind.quant_algo == "FP8":
        _write_fp8(checkpoint, directory / WEIGHTS, kind)
    else:
        _write_plain(checkpoint, directory / WEIGHTS, kind)
    embedding = checkpoint.tensor(_AUDIO_SOURCE).to(kind.dtype)
    spec = TensorSpec("weight", tuple(embedding.shape), kind.dtype)
    with SafetensorsWriter(directory / AUDIO_EMBEDDING, [spec]) as writer:
        writer.add("weight", embedding)
    (directory / CONFIG).write_text(json.dumps(engine_config(config, kind, max_positions), indent=2) + "\n")
    describe(config, max_positions).write(directory / ModelDescription.FILE)


def engine_config(config: LanguageModelConfig, precision: Precision, max_positions: int) -> dict[str, Any]:
    """TensorRT-LLM's config.json. Its `vocab_size` is the audio head's width: ids below it are rows of the prompt
    table, ids from it on are text tokens (id minus `vocab_size`)."""
    rope = dict(config.rope_parameters)
    theta, kind = rope.pop("rope_theta"), rope["rope_type"]
    return {
        "architecture": ARCHITECTURE,
        "dtype": precision.dtype_name,
        "logits_dtype": "float32",
        "vocab_size": config.num_codebooks * config.codebook_size,
        "text_vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_size": config.head_dim,
        "intermediate_size": config.intermediate_size,
        "hidden_act": "swiglu",
        "norm_epsilon": config.rms_norm_eps,
        "position_embedding_type": "rope_gpt_neox",
        "rotary_base": theta,
        "rotary_scaling": None if kind == "default" else rope,
        "max_position_embeddings": max_positions,
        "mapping": {"world_size": 1, "tp_size": 1, "pp_size": 1},
        "quantization": {"quant_algo": precision.quant_algo, "kv_cache_quant_algo": None},
    }


def _write_plain(checkpoint: Checkpoint, path: Path, precision: Precision) -> None:
    weights = plan(checkpoint.config)
    specs = [TensorSpec(weight.name, weight.shape, precision.dtype) for weight in weights]
    with SafetensorsWriter(path, specs) as writer:
        for weight in _progress(weights):
            writer.add(weight.name, weight.read(checkpoint).to(precision.dtype))


def _write_fp8(checkpoint: Checkpoint, path: Path, precision: Precision) -> None:
    weights = plan(checkpoint.config)
    inputs = fp8.calibrate(checkpoint)
    specs: list[TensorSpec] = []
    for weight in weights:
        specs.append(TensorSpec(weight.name, weight.shape, fp8.DTYPE if weight.is_matrix else precision.dtype))
        if weight.is_matrix:
            specs.append(
                TensorSpec(f"{weight.linear}.{fp8.WEIGHT_SCALE}", fp8.scale_shape(weight.shape), torch.float32)
            )
            specs.append(TensorSpec(f"{weight.linear}.{fp8.INPUT_SCALE}", (1,), torch.float32))
    with SafetensorsWriter(path, specs) as writer:
        for weight in _progress(weights):
            tensor = weight.read(checkpoint)
            if not weight.is_matrix:
                writer.add(weight.name, tensor.to(precision.dtype))
                continue
            levels, scales = fp8.quantize(tensor)
            writer.add(weight.name, levels)
            writer.add(f"{weight.linear}.{fp8.WEIGHT_SCALE}", scales)
            writer.add(f"{weight.linear}.{fp8.INPUT_SCALE}", inputs[weight.linear])


def _progress(weights: list[Weight]) -> Any:
    return tqdm(weights, desc="language model", unit="tensor", disable=len(weights) < 128)
