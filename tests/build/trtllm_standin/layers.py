"""Layers: linear in every precision, RMSNorm, embedding, routed experts, and attention over a paged KV cache."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from torch.nn import functional as nn

from tests.build.trtllm_standin.functional import Tensor
from tests.build.trtllm_standin.module import Module, Parameter
from tests.build.trtllm_standin.network import default_net

FP8_LARGEST = torch.finfo(torch.float8_e4m3fn).max
CONTEXT, GENERATION = 0, 1  # host_request_types


class _Matrix(Module):
    """`weight` [*, out, in], and what the quantisation makes of it; `quant_algo` as in config.json."""

    def __init__(self, shape: tuple[int, ...], dtype: str) -> None:
        self.full_shape, self.dtype, self.quant_algo = shape, dtype, None
        self.weight = Parameter(shape=shape, dtype=dtype)

    def quantize(self, quant_algo: str) -> None:
        """FP8: e4m3 and scales a matrix; W8A16, W4A16: what the loader made of bf16, without the GPU's layout."""
        self.quant_algo = quant_algo
        *experts, out, _ = self.full_shape
        if quant_algo == "FP8":
            self.weight = Parameter(shape=self.full_shape, dtype="fp8")
            self.activation_scaling_factor = Parameter(shape=(1,), dtype="float32")
            self.weights_scaling_factor = Parameter(shape=(*experts, 1), dtype="float32")
        else:
            self.weight = Parameter(shape=self.full_shape, dtype="int32")
            self.per_channel_scale = Parameter(shape=(*experts, out), dtype=self.dtype)

    def product(self, x: torch.Tensor, expert: int | None = None) -> torch.Tensor:
        def part(parameter: Parameter) -> torch.Tensor:
            return parameter.value.value if expert is None else parameter.value.value[expert]

        weight = part(self.weight)
        if self.quant_algo == "FP8":
            scale = self.activation_scaling_factor.value.value.to(x.dtype)
            x = (x / scale).clamp(-FP8_LARGEST, FP8_LARGEST).to(torch.float8_e4m3fn).to(x.dtype) * scale
            weight = weight.to(x.dtype) * part(self.weights_scaling_factor).to(x.dtype)
        elif self.quant_algo:
            weight = weight.to(x.dtype) * part(self.per_channel_scale)[:, None]
        assert x.dtype == weight.dtype, f"a matrix of {weight.dtype} on {x.dtype}"
        return x @ weight.T


class ColumnLinear(_Matrix):
    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        dtype: str = "float32",
        tp_group: object = None,
        tp_size: int = 1,
        gather_output: bool = True,
        share_weight: object = None,
        strict_dtype: bool = False,
        pad_lda: int = 0,
        pad_ldc: int = 0,
        prefer_managed_weight: bool = True,
        is_qkv: bool = False,
    ) -> None:
        assert not bias and tp_size == 1
        super().__init__((out_features, in_features), dtype)

    def forward(self, x: Tensor, lora_runtime_params: object = None, lora_hidden_state: object = None) -> Tensor:
        return Tensor.of(self.product(x.value))


class RmsNorm(Module):
    def __init__(
        self,
        normalized_shape: int,
        num_groups: int = 1,
        eps: float = 1e-6,
        elementwise_affine: bool = True,
        dtype: str = "float32",
    ) -> None:
        assert num_groups == 1 and elementwise_affine
        self.eps = eps
        self.weight = Parameter(shape=(normalized_shape,), dtype=dtype)

    def forward(self, x: Tensor, normalized_shape: object = None) -> Tensor:
        y = x.value.float()
        y = y / (y.pow(2).mean(-1, keepdim=True) + self.eps).sqrt()
        return Tensor.of(y.to(x.dtype) * self.weight.value.value)


class Embedding(Module):
    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        dtype: str = "float32",
        tp_size: int = 1,
        tp_group: object = None,
        sharding_dim: int = 0,
        tp_rank: int | None = None,
    ) -> None:
        self.num_embeddings, self.embedding_dim, self.dtype = num_embeddings, embedding_dim, dtype
        self.weight = Parameter(shape=(num_embeddings, embedding_dim), dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError("with a prompt table, PromptTuningEmbedding stands here and takes other arguments")


@dataclass
class MoeConfig:
    class ExpertScaleNormalizationMode(IntEnum):
        NONE = 0
        RENORMALIZE = 1

    num_experts: int = 0
    shared_expert_intermediate_size: int = 0
    top_k: int = 0
    normalization_mode: ExpertScaleNormalizationMode = ExpertScaleNormalizationMode.RENORMALIZE
    sparse_mixer_epsilon: float = 0.01
    tp_mode: int = 0
    device_limited_n_group: int = 0
    device_limited_topk_group: int = 0
    device_limited_routed_scaling_factor: float = 1.0


class MixtureOfExperts(Module):
    """Static routing only: the caller names each token's expert. swiglu is the first half times silu of the second."""

    def __init__(
        self,
        moe_config: MoeConfig,
        hidden_size: int,
        ffn_hidden_size: int,
        hidden_act: str,
        mapping: object = None,
        bias: bool = True,
        dtype: str = "float32",
        tp_group: object = None,
        tp_size: int = 1,
        quant_mode: object = None,
        use_all_reduce: bool = True,
        pre_quant_scale: bool = False,
        zero: bool = False,
        use_w4a8_awq: bool = False,
        use_int8_weight: bool = False,
        group_size: int = -1,
        static_routing: bool = False,
    ) -> None:
        assert static_routing and not bias and hidden_act == "swiglu" and moe_config.top_k == 1
        self.num_experts = moe_config.num_experts
        self.fc = _Matrix((self.num_experts, 2 * ffn_hidden_size, hidden_size), dtype)
        self.proj = _Matrix((self.num_experts, hidden_size, ffn_hidden_size), dtype)

    def forward(
        self,
        hidden_states: Tensor,
        lora_layer_params: object = None,
        all_reduce_params: object = None,
        last_local_layer_residual: object = None,
        side_stream_id: int = 0,
        static_routing_input: Tensor | None = None,
    ) -> Tensor:
        assert default_net().plugin_config.moe_plugin, "static routing is the plugin's"
        assert static_routing_input is not None and static_routing_input.dtype == torch.int32
        chosen, values = static_routing_input.value, hidden_states.value
        assert tuple(chosen.shape) == (len(values), 1), "an expert a token"
        output = torch.full_like(values, float("nan"))
        for expert in chosen.unique().tolist():
            assert 0 <= expert < self.num_experts
            mine = chosen[:, 0] == expert
            linear, gate = self.fc.product(values[mine], expert).chunk(2, dim=-1)
            output[mine] = self.proj.product(linear * nn.silu(gate), expert)
        return Tensor.of(output)


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
