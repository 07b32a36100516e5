"""The network of Higgs Audio V2's language model in TensorRT-LLM 1.2.1's layers.

`trtllm-build --model_cls_file build/higgs_network.py --model_cls_name HiggsAudioV2ForCausalLM` loads this file on its
own, so it imports nothing of this project. It is the only file of `build/` that cannot be imported without
`tensorrt_llm`.

A token id says where a position's embedding comes from, and with it the position's modality:

- below `vocab_size` (the audio head's width) it is a row of the request's prompt table, the sum of a column's eight
  audio embeddings, written there before the step: an audio position;
- from `vocab_size` on it is text token id - `vocab_size`, looked up in the text embedding: a text position.

So the modality needs no input beyond TensorRT-LLM's own. Attention and the last norm are shared; the two norms of each
layer exist once per modality; and the two FFNs are a mixture of two experts whose router is the modality itself, so
that the MixtureOfExperts plugin reads only the weights of experts that have a token in the batch. The audio head is
`lm_head`; there is no text head.

TensorRT-LLM gives each packed token's request in an input `tasks`. This network derives it from `last_token_ids`, the
running total of the requests' lengths, instead: the runtime reallocates `tasks` each step, which a captured CUDA graph
could not follow.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from tensorrt_llm import functional
from tensorrt_llm._common import default_net
from tensorrt_llm.functional import Tensor
from tensorrt_llm.layers import (
    Attention,
    AttentionMaskType,
    ColumnLinear,
    Embedding,
    KeyValueCacheParams,
    RmsNorm,
)
from tensorrt_llm.layers.moe import MixtureOfExperts, MoeConfig
from tensorrt_llm.models import MODEL_MAP
from tensorrt_llm.models.modeling_utils import DecoderModelForCausalLM, PretrainedConfig
from tensorrt_llm.module import Module, ModuleList

NUM_EXPERTS = 2  # text 0, audio 1


class HiggsAudioV2Config(PretrainedConfig):
    """config.json as convert/trtllm.py writes it: TensorRT-LLM's fields and these."""

    def __init__(
        self, *, text_vocab_size: int, rotary_base: float, rotary_scaling: dict[str, Any] | None = None, **fields: Any
    ) -> None:
        self.text_vocab_size = text_vocab_size
        self.rotary_base = rotary_base
        self.rotary_scaling = rotary_scaling
        super().__init__(**fields)
        if self.mapping.world_size != 1:
            raise ValueError(
                f"config.json asks for {self.mapping.world_size} ranks; this network runs on one GPU, and more GPUs "
                "run more copies of it"
            )


class HiggsAudioV2DecoderLayer(Module):
    """One layer. Hidden states are [tokens, hidden], all requests' tokens packed one after another."""

    def __init__(self, config: HiggsAudioV2Config, index: int) -> None:
        super().__init__()

        def norm() -> RmsNorm:
            return RmsNorm(normalized_shape=config.hidden_size, eps=config.norm_epsilon, dtype=config.dtype)

        self.input_layernorm, self.audio_input_layernorm = norm(), norm()
        self.post_layernorm, self.audio_post_layernorm = norm(), norm()
        self.attention = Attention(
            local_layer_idx=index,
            hidden_size=config.hidden_size,
            num_attention_heads=config.num_attention_heads,
            num_kv_heads=config.num_key_value_heads,
            max_position_embeddings=config.max_position_embeddings,
            attention_head_size=config.head_size,
            attention_mask_type=AttentionMaskType.causal,
            bias=False,
            dtype=config.dtype,
            position_embedding_type=config.position_embedding_type,
            rotary_embedding_base=config.rotary_base,
            rotary_embedding_scaling=config.rotary_scaling,
            quant_mode=config.quant_mode,
        )
        self.mlp = MixtureOfExperts(
            moe_config=MoeConfig(
                num_experts=NUM_EXPERTS, top_k=1, normalization_mode=MoeConfig.ExpertScaleNormalizationMode.NONE
            ),
            hidden_size=config.hidden_size,
            ffn_hidden_size=config.intermediate_size,
            hidden_act=config.hidden_act,
            mapping=config.mapping,
            bias=False,
            dtype=config.dtype,
            quant_mode=config.quant_mode,
            static_routing=True,
        )

    def forward(
        self,
        hidden_states: Tensor,
        is_audio: Tensor,
        experts: Tensor,
        use_cache: bool,
        attention_mask: Tensor | None,
        kv_cache_params: KeyValueCacheParams,
        attention_params: Any,
    ) -> Tensor:
        """`is_audio` bool [tokens, 1]; `experts` int32 [tokens, 1]."""
        normed = functional.where(
            is_audio, self.audio_input_layernorm(hidden_states), self.input_layernorm(hidden_states)
        )
        attended = self.attention(
            normed,
            attention_mask=attention_mask,
            use_cache=use_cache,
            kv_cache_params=kv_cache_params,
            attention_params=attention_params,
        )
        hidden_states = hidden_states + (attended[0] if use_cache else attended)
        normed = functional.where(
            is_audio, self.audio_post_layernorm(hidden_states), self.post_layernorm(hidden_states)
        )
        return hidden_states + self.mlp(normed, static_routing_input=experts)


class HiggsAudioV2Model(Module):
    """Embeddings, layers and the last norm."""

    def __init__(self, config: HiggsAudioV2Config) -> None:
        super().__init__()
        self.vocab_size = config.vocab_size
        self.vocab_embedding = Embedding(config.text_vocab_size, config.hidden_size, dtype=config.dtype)
        self.layers = ModuleList([HiggsAudioV2DecoderLayer(config, i) for i in range(config.num_hidden_layers)])
        self.ln_f = RmsNorm(normalized_shape=config.hidden_size, eps=config.norm_epsilon, dtype=config.dtype)

    def forward(
        self,
        input_ids: Tensor,
        last_token_ids: Tensor,
        prompt_embedding_table: Tensor,
        prompt_vocab_size: Tensor,
        use_cache: bool,
        attention_mask: Tensor | None,
        kv_cache_params: KeyValueCacheParams,
        attention_params: Any,
    ) -> Tensor:
        """`input_ids` int32 [tokens]; `last_token_ids` int32 [requests]; `prompt_embedding_table` [rows, hidden] of all
        requests, `prompt_vocab_size` int32 [1] of them each. Returns hidden states [tokens, hidden]."""
        is_audio = input_ids < self.vocab_size
        rows = functional.where(is_audio, input_ids, 0) + _request_of(input_ids, last_token_ids) * prompt_vocab_size
        text_ids = functional.where(is_audio, 0, input_ids - self.vocab_size)
        # Not the layer's own forward: when the engine has a prompt table, TensorRT-LLM puts its PromptTuningEmbedding
        # in the layer's place, which would read the ids its own way. The weight stays the same.
        text = functional.embedding(text_ids, self.vocab_embedding.weight.value)
        is_audio = functional.unsqueeze(is_audio, 1)
        hidden_states = functional.where(is_audio, functional.embedding(rows, prompt_embedding_table), text)
        experts = functional.cast(is_audio, "int32")
        kv_cache_params.fill_none_tensor_list(len(self.layers))
        for layer, past in zip(self.layers, kv_cache_params.past_key_value, strict=True):
            hidden_states = layer(
                hidden_states,
                is_audio=is_audio,
                experts=experts,
                use_cache=use_cache,
                attention_mask=attention_mask,
                kv_cache_params=_of_layer(kv_cache_params, past),
                attention_params=attention_params,
            )
        return self.ln_f(hidden_states)


class HiggsAudioV2ForCausalLM(DecoderModelForCausalLM):
    """The engine's network: packed token ids and prompt tables in, logits of each request's last token out."""

    config_class = HiggsAudioV2Config

    def __init__(self, config: HiggsAudioV2Config) -> None:
        head = ColumnLinear(config.hidden_size, config.vocab_size, bias=False, dtype=config.dtype)
        super().__init__(config, HiggsAudioV2Model(config), head)

    def prepare_inputs(self, *args: Any, prompt_embedding_table_size: int = 0, **kwargs: Any) -> dict[str, Any]:
        """TensorRT-LLM's own inputs and the prompt table, without `tasks`.

        Raises ValueError when the engine is built without a prompt table.
        """
        if prompt_embedding_table_size < 1:
            raise ValueError(
                "audio positions are rows of the prompt table; build with --max_prompt_embedding_table_size "
                "(rows a request times --max_batch_size)"
            )
        inputs: dict[str, Any] = super().prepare_inputs(*args, **kwargs)
        profiles = len(inputs["input_ids"].profiles)
        rows = [1, max(1, prompt_embedding_table_size // 2), prompt_embedding_table_size]
        inputs["prompt_embedding_table"] = Tensor(
            name="prompt_embedding_table",
            dtype=self.config.dtype,
            shape=[-1, self.config.hidden_size],
            dim_range=OrderedDict(
                [
                    ("prompt_embedding_table_size", [rows] * profiles),
                    ("hidden_size", [self.config.hidden_size] * profiles),
                ]
            ),
        )
        inputs["prompt_vocab_size"] = Tensor(
            name="prompt_vocab_size",
            dtype="int32",
            shape=[1],
            dim_range=OrderedDict([("size", [1] * profiles)]),
        )
        return inputs

    def forward(
        self,
        input_ids: Tensor,
        last_token_ids: Tensor,
        prompt_embedding_table: Tensor,
        prompt_vocab_size: Tensor,
        kv_cache_params: KeyValueCacheParams,
        attention_params: Any,
        use_cache: bool = True,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,  # the attention plugin counts positions itself
    ) -> Tensor:
        """Logits float32 [requests, vocab_size]. The arguments are what `prepare_inputs` returns."""
        hidden_states = self.transformer(
            input_ids,
            last_token_ids=last_token_ids,
            prompt_embedding_table=prompt_embedding_table,
            prompt_vocab_size=prompt_vocab_size,
            use_cache=use_cache,
            attention_mask=attention_mask,
            kv_cache_params=kv_cache_params,
            attention_params=Attention.fill_attention_params(self, attention_params),
        )
        last = functional.gather_last_token_logits(
            hidden_states, last_token_ids, default_net().plugin_config.remove_input_padding
        )
        logits = self.lm_head(last)
        logits.mark_output("logits", self.config.logits_dtype)
        return logits


def _request_of(input_ids: Tensor, last_token_ids: Tensor) -> Tensor:
    """int32 [tokens]: the index in the batch of the request that each packed token belongs to, which is the number of
    requests that end before it."""
    tokens = functional.arange(
        functional.constant(np.array(0, dtype=np.int32)),
        functional.shape(input_ids, 0, cast_to_dtype="int32"),
        dtype="int32",
    )
    ended = functional.unsqueeze(tokens, 1) > functional.unsqueeze(last_token_ids - 1, 0)
    return functional.sum(functional.cast(ended, "int32"), dim=1)


def _of_layer(shared: KeyValueCacheParams, past_key_value: Tensor | None) -> KeyValueCacheParams:
    return KeyValueCacheParams(
        past_key_value=[past_key_value],
        host_past_key_value_lengths=shared.host_past_key_value_lengths,
        host_max_attention_window_sizes=shared.host_max_attention_window_sizes,
        host_sink_token_length=shared.host_sink_token_length,
        kv_cache_block_offsets=shared.kv_cache_block_offsets,
        host_kv_cache_block_offsets=shared.host_kv_cache_block_offsets,
        host_kv_cache_pool_pointers=shared.host_kv_cache_pool_pointers,
        host_kv_cache_pool_mapping=shared.host_kv_cache_pool_mapping,
        cache_indirection=shared.cache_indirection,
    )


# trtllm-build finds the configuration's class by the checkpoint's architecture before it looks at the model's class.
MODEL_MAP["HiggsAudioV2ForCausalLM"] = HiggsAudioV2ForCausalLM
