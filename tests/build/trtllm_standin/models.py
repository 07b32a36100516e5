"""Configuration, loading and the inputs of a decoder model, as `trtllm-build` drives them."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file

from tests.build.trtllm_standin.attention import (
    Attention,
    AttentionParams,
    KeyValueCacheParams,
    PositionEmbeddingType,
)
from tests.build.trtllm_standin.functional import Tensor
from tests.build.trtllm_standin.layers import _Matrix
from tests.build.trtllm_standin.module import Module
from tests.build.trtllm_standin.network import default_net

MODEL_MAP: dict[str, Any] = {}
# quantize.py, quantize_layers: modules never quantised, where config.json names none itself.
EXCLUDED = ("*lm_head", "*router", "*vocab_embedding", "*position_embedding", "*block_embedding", "*shared_expert_gate")
# convert_utils.py, weight_only_quantize_dict: a tensor with one of these in its name is rounded while it is loaded.
WEIGHT_ONLY = ("qkv.weight", "dense.weight", "fc.weight", "proj.weight", "gate.weight")
BITS = {"W8A16": 8, "W4A16": 4}


class PretrainedConfig:
    def __init__(
        self,
        *,
        architecture: str,
        dtype: str,
        hidden_size: int,
        num_hidden_layers: int,
        num_attention_heads: int,
        vocab_size: int | None = None,
        hidden_act: str = "gelu",
        logits_dtype: str = "float32",
        norm_epsilon: float = 1e-5,
        position_embedding_type: str = "learned_absolute",
        max_position_embeddings: int | None = None,
        rotary_embedding_dim: int | None = None,
        num_key_value_heads: int | None = None,
        intermediate_size: int | None = None,
        mapping: dict[str, int] | None = None,
        quantization: dict[str, Any] | None = None,
        use_parallel_embedding: bool = False,
        embedding_sharding_dim: int = 0,
        head_size: int | None = None,
        qk_layernorm: bool = False,
        runtime_defaults: object = None,
        **kwargs: Any,
    ) -> None:
        assert not kwargs, f"TensorRT-LLM would warn of {sorted(kwargs)}"
        self.architecture, self.dtype, self.logits_dtype = architecture, dtype, logits_dtype
        self.vocab_size, self.hidden_size, self.intermediate_size = vocab_size, hidden_size, intermediate_size
        self.num_hidden_layers, self.num_attention_heads = num_hidden_layers, num_attention_heads
        self.num_key_value_heads = num_key_value_heads or num_attention_heads
        self.head_size = head_size or hidden_size // num_attention_heads
        self.hidden_act, self.norm_epsilon = hidden_act, norm_epsilon
        self.position_embedding_type = PositionEmbeddingType.from_string(position_embedding_type)
        self.max_position_embeddings = max_position_embeddings
        self.mapping = SimpleNamespace(**(mapping or {"world_size": 1}))
        self.quantization = SimpleNamespace(**(quantization or {"quant_algo": None}))
        self.quant_mode = self.quantization.quant_algo

    @classmethod
    def from_json_file(cls, config_file: Path) -> Any:
        """The class is the architecture's in MODEL_MAP, as in TensorRT-LLM."""
        values = json.loads(Path(config_file).read_text())
        return MODEL_MAP[values["architecture"]].config_class(**values)


class _PostInit(type):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        made.__post_init__()
        return made


class DecoderModelForCausalLM(Module, metaclass=_PostInit):
    config_class: Any = PretrainedConfig

    def __init__(self, config: Any, transformer: Module, lm_head: Module) -> None:
        self.config, self.transformer, self.lm_head = config, transformer, lm_head
        Attention.create_attention_const_params(self, config)

    def __post_init__(self) -> None:
        quant_algo = self.config.quantization.quant_algo
        for path, module, _ in list(self.named_modules_with_parent()):
            if quant_algo and isinstance(module, _Matrix) and not any(fnmatchcase(path, name) for name in EXCLUDED):
                module.quantize(quant_algo)

    @classmethod
    def from_checkpoint(cls: Any, ckpt_dir: str, rank: int | None = None, config: Any = None) -> Any:
        model = cls(config)
        weights = load_file(Path(ckpt_dir) / f"rank{rank or 0}.safetensors")
        model.load(preprocess_weights(weights, config.quantization.quant_algo))
        return model

    def load(self, weights: dict[str, torch.Tensor]) -> None:
        """TensorRT-LLM stops at a tensor that is missing, and warns of one too many; here both are errors."""
        required = {name: parameter for name, parameter in self.named_parameters() if not parameter.is_inited()}
        assert set(required) == set(weights), sorted(set(required) ^ set(weights))
        for name, parameter in required.items():
            parameter.value = weights[name]

    def prepare_inputs(
        self,
        max_batch_size: int,
        max_input_len: int,
        max_seq_len: int,
        max_num_tokens: int,
        use_cache: bool,
        max_beam_width: int = 1,
        opt_num_tokens: int | None = None,
        prompt_embedding_table_size: int = 0,
        position_encoding_2d: bool = False,
        max_draft_len: int = 0,
        speculative_decoding_draft_tokens_external: bool = False,
        spec_decoding_is_generation_length_variable: bool = False,
        gather_context_logits: bool = False,
        lora_target_modules: object = None,
        opt_batch_size: int = 0,
        num_hidden_layers: int | None = None,
        mrope_rotary_cos_sin_size: int | None = None,
    ) -> dict[str, Any]:
        assert use_cache and max_beam_width == 1
        assert prompt_embedding_table_size == 0, "would declare `tasks`"
        layers = self.config.num_hidden_layers
        block = default_net().plugin_config.tokens_per_block
        batch = [[1, max_batch_size, max_batch_size]]
        tokens = [[1, max_num_tokens, max_num_tokens]]
        blocks = [[1, 1, -(-max_seq_len // block)]]

        def declare(name: str, dtype: str, **dimensions: Any) -> Tensor:
            ranges = OrderedDict(
                (dimension, [size] if isinstance(size, int) else size) for dimension, size in dimensions.items()
            )
            shape = [size if isinstance(size, int) else -1 for size in dimensions.values()]
            return Tensor(name=name, dtype=dtype, shape=shape, dim_range=ranges)

        return {
            "input_ids": declare("input_ids", "int32", num_tokens=tokens),
            "position_ids": declare("position_ids", "int32", position_ids_num_tokens_range=tokens),
            "use_cache": use_cache,
            "last_token_ids": declare("last_token_ids", "int32", batch_size_last_token_ids=batch),
            "attention_mask": None,
            "kv_cache_params": KeyValueCacheParams(
                past_key_value=[None] * layers,
                host_past_key_value_lengths=declare("host_past_key_value_lengths", "int32", batch=batch),
                host_max_attention_window_sizes=declare("host_max_attention_window_sizes", "int32", layers=layers),
                host_sink_token_length=declare("host_sink_token_length", "int32", scalar=1),
                kv_cache_block_offsets=declare(
                    "kv_cache_block_offsets", "int32", pools=1, batch=batch, kv=2, blocks=blocks
                ),
                host_kv_cache_block_offsets=declare(
                    "host_kv_cache_block_offsets", "int32", pools=1, batch=batch, kv=2, blocks=blocks
                ),
                host_kv_cache_pool_pointers=declare("host_kv_cache_pool_pointers", "int64", pools=1, kv=2),
                host_kv_cache_pool_mapping=declare("host_kv_cache_pool_mapping", "int32", layers=layers, locator=2),
                cache_indirection=declare(
                    "cache_indirection", "int32", batch=batch, beam=1, max_seq_len=[[1, max_seq_len, max_seq_len]]
                ),
            ),
            "attention_params": AttentionParams(
                sequence_length=declare("sequence_length", "int32", batch=batch),
                context_lengths=declare("context_lengths", "int32", batch=batch),
                host_context_lengths=declare("host_context_lengths", "int32", batch=batch),
                max_context_length=max_input_len,
                host_request_types=declare("host_request_types", "int32", batch=batch),
                host_runtime_perf_knobs=declare("host_runtime_perf_knobs", "int64", knobs=16),
                host_context_progress=declare("host_context_progress", "int64", size=1),
            ),
        }


def preprocess_weights(weights: dict[str, torch.Tensor], quant_algo: str | None) -> dict[str, torch.Tensor]:
    """Weight-only precisions are made here, one scale an output channel; the GPU's layout of the levels is left out."""
    if quant_algo not in BITS:
        return weights
    steps = 1 << (BITS[quant_algo] - 1)
    made = {}
    for name, weight in weights.items():
        if not any(re.search(re.escape(part), name) for part in WEIGHT_ONLY):
            made[name] = weight
            continue
        scale = weight.float().abs().amax(dim=-1) / steps
        levels = (weight.float() / scale[..., None]).round().clamp(-steps, steps - 1)
        made[name] = levels.to(torch.int32)
        made[name.replace(".weight", ".per_channel_scale")] = scale.to(weight.dtype)
    return made
