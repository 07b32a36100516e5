"""Attention as TensorRT-LLM's GPTAttention plugin does it: packed tokens, rotary embedding, a paged KV cache."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from torch.nn import functional as nn

from tests.build.trtllm_standin.functional import Tensor
from tests.build.trtllm_standin.layers import ColumnLinear
from tests.build.trtllm_standin.module import Module, Parameter

CONTEXT, GENERATION = 0, 1  # host_request_types


class AttentionMaskType(IntEnum):
    padding = 0
    causal = 1


class PositionEmbeddingType(IntEnum):
    rope_gpt_neox = 2

    @staticmethod
    def from_string(s: str) -> PositionEmbeddingType:
        return PositionEmbeddingType[s]


class KeyValueCacheParams:
    def __init__(
        self,
        past_key_value: list[Any] | None = None,
        host_past_key_value_lengths: Tensor | None = None,
        host_max_attention_window_sizes: Tensor | None = None,
        host_sink_token_length: Tensor | None = None,
        kv_cache_block_offsets: Tensor | None = None,
        host_kv_cache_block_offsets: Tensor | None = None,
        host_kv_cache_pool_pointers: Tensor | None = None,
        host_kv_cache_pool_mapping: Tensor | None = None,
        cache_indirection: Tensor | None = None,
        past_key_value_length: Tensor | None = None,
        cross_kv_cache_block_offsets: Tensor | None = None,
        host_cross_kv_cache_block_offsets: Tensor | None = None,
        host_cross_kv_cache_pool_pointers: Tensor | None = None,
        host_cross_kv_cache_pool_mapping: Tensor | None = None,
    ) -> None:
        self.past_key_value = past_key_value
        self.host_past_key_value_lengths = host_past_key_value_lengths
        self.host_max_attention_window_sizes = host_max_attention_window_sizes
        self.host_sink_token_length = host_sink_token_length
        self.kv_cache_block_offsets = kv_cache_block_offsets
        self.host_kv_cache_block_offsets = host_kv_cache_block_offsets
        self.host_kv_cache_pool_pointers = host_kv_cache_pool_pointers
        self.host_kv_cache_pool_mapping = host_kv_cache_pool_mapping
        self.cache_indirection = cache_indirection

    def fill_none_tensor_list(self, list_size: int) -> None:
        if self.past_key_value is None:
            self.past_key_value = [None] * list_size

    def assert_complete(self) -> None:
        """What the attention plugin needs with a paged cache."""
        missing = [name for name, value in vars(self).items() if value is None]
        assert not missing, f"the attention plugin is not given {missing}"


@dataclass
class AttentionParams:
    """The parts of TensorRT-LLM's class that the plugin reads here; `rotary_*` come with `fill_attention_params`."""

    sequence_length: Tensor
    context_lengths: Tensor
    host_context_lengths: Tensor
    max_context_length: int
    host_request_types: Tensor
    host_runtime_perf_knobs: Tensor
    host_context_progress: Tensor
    rotary_cos_sin: Tensor | None = None


class Attention(Module):
    def __init__(
        self,
        *,
        local_layer_idx: int,
        hidden_size: int,
        num_attention_heads: int,
        num_kv_heads: int | None = None,
        max_position_embeddings: int = 1024,
        num_layers: int = 1,
        apply_query_key_layer_scaling: bool = False,
        attention_head_size: int | None = None,
        qk_layernorm: bool = False,
        layernorm_type: object = None,
        layernorm_share: bool = True,
        inner_layernorm: bool = False,
        eps: float = 1e-5,
        attention_mask_type: AttentionMaskType = AttentionMaskType.padding,
        bias: bool = True,
        dtype: str = "float32",
        position_embedding_type: object = None,
        rotary_embedding_base: float = 10000.0,
        rotary_embedding_base_local: float = 1.0,
        rotary_embedding_scaling: dict[str, Any] | None = None,
        rotary_embedding_percentage: float = 1.0,
        rope_scaling_short_factors: object = None,
        rope_scaling_long_factors: object = None,
        rope_scaling_short_mscale: object = None,
        rope_scaling_long_mscale: object = None,
        original_max_position_embeddings: int = 1024,
        tp_group: object = None,
        tp_size: int = 1,
        tp_rank: int = 0,
        quant_mode: object = None,
        q_scaling: float = 1.0,
        cross_attention: bool = False,
        relative_attention: bool = False,
        max_distance: int = 0,
        num_buckets: int = 0,
        dense_bias: object = None,
        clip_qkv: object = None,
        alibi_bias_max: int = 8,
        skip_cross_kv: bool = False,
        max_attn_value: float = 0.0,
        block_sparse_params: object = None,
        use_implicit_relative_attention: bool = False,
        reorder: bool = False,
        enable_qkv: bool = True,
        cp_group: object = None,
        cp_size: int = 1,
        cp_rank: int = 0,
        max_seqlen_for_logn_scaling: int = 8192,
        use_logn_scaling: bool = False,
        is_local: bool = False,
    ) -> None:
        assert attention_mask_type == AttentionMaskType.causal and not bias
        assert position_embedding_type == PositionEmbeddingType.rope_gpt_neox
        if rotary_embedding_scaling is not None:
            assert rotary_embedding_scaling["rope_type"] == "llama3"
        self.layer = local_layer_idx
        self.heads, self.kv_heads = num_attention_heads, num_kv_heads or num_attention_heads
        self.head_size = attention_head_size or hidden_size // num_attention_heads
        self.max_positions = max_position_embeddings
        self.qkv = ColumnLinear(hidden_size, (self.heads + 2 * self.kv_heads) * self.head_size, bias=False, dtype=dtype)
        self.dense = ColumnLinear(self.heads * self.head_size, hidden_size, bias=False, dtype=dtype)

    @staticmethod
    def create_attention_const_params(model_cls: Any, config: Any) -> None:
        """cos and sin of every position, float32 [max_position_embeddings, head_size / 2, 2], as a buffer.

        The frequencies are those of TensorRT-LLM's RopeEmbeddingUtils: numpy, float32, llama3's three bands.
        """
        size = config.head_size
        frequencies = 1.0 / (config.rotary_base ** (np.arange(0, size, 2) / size)).astype(np.float32)
        scaling = config.rotary_scaling
        if scaling is not None:
            length = scaling["original_max_position_embeddings"]
            low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
            scaled = []
            for frequency in frequencies:
                wavelength = 2 * np.pi / frequency
                if wavelength < length / high:
                    scaled.append(frequency)
                elif wavelength > length / low:
                    scaled.append(frequency / scaling["factor"])
                else:
                    smooth = (length / wavelength - low) / (high - low)
                    scaled.append((1 - smooth) * frequency / scaling["factor"] + smooth * frequency)
            frequencies = np.array(scaled, dtype=np.float32)
        angles = np.arange(config.max_position_embeddings, dtype=np.float32)[:, None] * frequencies
        table = torch.from_numpy(np.stack([np.cos(angles), np.sin(angles)], axis=-1))
        model_cls.register_parameter("embed_positions_for_gpt_attention", Parameter(table, dtype="float32"))

    @staticmethod
    def fill_attention_params(model_cls: Any, attention_params: AttentionParams) -> AttentionParams:
        attention_params.rotary_cos_sin = model_cls.embed_positions_for_gpt_attention.value
        return attention_params

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        attention_packed_mask: object = None,
        use_cache: bool = False,
        spec_decoding_params: object = None,
        mrope_params: object = None,
        kv_cache_params: KeyValueCacheParams | None = None,
        attention_params: AttentionParams | None = None,
        encoder_output: object = None,
        position_embedding: object = None,
        norm_before_bmm1: bool = False,
        lora_layer_params: object = None,
        cross_kv_cache_gen: object = None,
        cross_kv_reuse: object = None,
        all_reduce_params: object = None,
        skip_attn: object = None,
    ) -> Any:
        """The GPTAttention plugin over packed tokens: requests in context first, each with the chunk it is fed."""
        assert attention_mask is None and use_cache and kv_cache_params is not None and attention_params is not None
        assert kv_cache_params.past_key_value == [None], "a paged cache has no tensor a layer"
        kv_cache_params.past_key_value = []
        kv_cache_params.assert_complete()
        packed = self.qkv(hidden_states).value
        lengths = attention_params.sequence_length.value.tolist()
        types = attention_params.host_request_types.value.tolist()
        fed = [
            int(count) if kind == CONTEXT else 1
            for count, kind in zip(attention_params.host_context_lengths.value, types, strict=True)
        ]
        pieces = packed.split(fed)
        attended = [
            self._one(piece, request, total - len(piece), kv_cache_params, attention_params)
            for request, (piece, total) in enumerate(zip(pieces, lengths, strict=True))
        ]
        return self.dense(Tensor.of(torch.cat(attended))), None

    def _one(
        self, qkv: torch.Tensor, request: int, past: int, cache: KeyValueCacheParams, params: AttentionParams
    ) -> torch.Tensor:
        """`qkv` [tokens, all heads] of one request after `past` cached positions; writes its keys and values."""
        assert params.rotary_cos_sin is not None
        total = past + len(qkv)
        assert total <= self.max_positions, "beyond the rotary table"
        turns = params.rotary_cos_sin.value[past:total]
        heads = qkv.unflatten(-1, (self.heads + 2 * self.kv_heads, self.head_size)).transpose(0, 1)
        query, key, value = heads.split([self.heads, self.kv_heads, self.kv_heads])
        keys, values = (
            self._cached(new, past, cache, request, place) for place, new in enumerate((_rotate(key, turns), value))
        )
        mask = torch.ones(len(qkv), total, dtype=torch.bool).tril(past)
        out = nn.scaled_dot_product_attention(_rotate(query, turns), keys, values, attn_mask=mask, enable_gqa=True)
        return out.transpose(0, 1).flatten(1)

    def _cached(
        self, new: torch.Tensor, past: int, cache: KeyValueCacheParams, request: int, place: int
    ) -> torch.Tensor:
        """Write `new` [kv heads, tokens, size] behind `past` positions, and return all of them, from the pool's blocks.

        The pool stands in for the memory host_kv_cache_pool_pointers points at: [blocks, layers, 2, kv heads, tokens a
        block, size].
        """
        assert cache.host_kv_cache_pool_pointers is not None and cache.kv_cache_block_offsets is not None
        pool: torch.Tensor = cache.host_kv_cache_pool_pointers.value.pool  # type: ignore[attr-defined]
        block = pool.shape[-2]
        offsets = cache.kv_cache_block_offsets.value[0, request, place].tolist()
        total = past + new.shape[1]
        for index in range(new.shape[1]):
            position = past + index
            pool[offsets[position // block], self.layer, place, :, position % block] = new[:, index]
        blocks = [pool[offsets[i], self.layer, place] for i in range(-(-total // block))]
        return torch.cat(blocks, dim=1)[:, :total]


def _rotate(heads: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """`heads` [heads, tokens, size] by `turns` [tokens, size / 2, cos and sin], GPT-NeoX's halves."""
    first, second = heads.float().chunk(2, dim=-1)
    cosine, sine = turns.unbind(-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1).to(heads.dtype)
