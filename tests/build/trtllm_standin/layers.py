"""Linear in every precision, RMSNorm, embedding and routed experts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch.nn import functional as nn

from tests.build.trtllm_standin.functional import Tensor
from tests.build.trtllm_standin.module import Module, Parameter
from tests.build.trtllm_standin.network import default_net

FP8_LARGEST = torch.finfo(torch.float8_e4m3fn).max


class _Matrix(Module):
    """`weight` [*, out, in], and what the quantisation makes of it; `quant_algo` as in config.json."""

    def __init__(self, shape: tuple[int, ...], dtype: str) -> None:
        self.full_shape, self.dtype = shape, dtype
        self.quant_algo: str | None = None
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
