"""The network on vLLM's own layers: Llama's attention, and in each layer two sets of norms and two feed-forwards, one
for text and one for audio."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from vllm.config import VllmConfig
from vllm.forward_context import get_forward_context
from vllm.model_executor.layers.layernorm import RMSNorm
from vllm.model_executor.layers.logits_processor import LogitsProcessor
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead
from vllm.model_executor.models.llama import LlamaDecoderLayer, LlamaMLP, LlamaModel
from vllm.model_executor.models.utils import AutoWeightsLoader, WeightsMapper, maybe_prefix

from runtime.engine.vllm.columns import Columns

Part = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Modality:
    """Which of a step's positions are text: bool [n, 1]. On a CPU also where they are, so that nothing is computed
    twice; elsewhere finding that out would wait for the device."""

    is_text: torch.Tensor
    where: tuple[torch.Tensor, torch.Tensor] | None

    @classmethod
    def of(cls, is_text: torch.Tensor) -> Modality:
        on_cpu = is_text.device.type == "cpu"
        where = (is_text.nonzero()[:, 0], (~is_text).nonzero()[:, 0]) if on_cpu else None
        return cls(is_text[:, None], where)


def only_audio() -> bool:
    """Whether no position of this step can be text, known from its schedule alone: each stream reads one position.

    Such a step leaves some of its budget, and nothing else cuts a prompt: so what a stream reads is the last that there
    is to read, a column that it has spoken or column 0. So it is for what vLLM records as a CUDA graph, too, and then
    replays for just such steps.
    """
    metadata = get_forward_context().attn_metadata
    if not isinstance(metadata, dict):  # vLLM measures its memory
        return False
    return getattr(next(iter(metadata.values())), "max_query_len", 0) == 1


def routed(x: torch.Tensor, modality: Modality | None, text: Part, audio: Part) -> torch.Tensor:
    """Each position of x, [n, hidden], through the part of its modality; all through audio's without one."""
    if modality is None:
        return audio(x)
    if modality.where is None:
        return torch.where(modality.is_text, text(x), audio(x))
    result = torch.empty_like(x)
    for positions, part in zip(modality.where, (text, audio), strict=True):
        if len(positions):
            result[positions] = part(x[positions])
    return result


class SpeechLayer(LlamaDecoderLayer):
    """A decoder layer whose norms and feed-forward exist once for text and once for audio."""

    def __init__(self, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__(vllm_config, prefix)
        config = vllm_config.model_config.hf_config
        self.audio_mlp = LlamaMLP(
            config.hidden_size,
            config.intermediate_size,
            config.hidden_act,
            vllm_config.quant_config,
            prefix=f"{prefix}.audio_mlp",
        )
        self.audio_input_layernorm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.audio_post_attention_layernorm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def forward(
        self,
        positions: torch.Tensor,
        hidden_states: torch.Tensor,
        residual: torch.Tensor | None,
        modality: Modality | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As Llama's: what this layer adds, and what it adds to; both [n, hidden]."""
        x = hidden_states if residual is None else hidden_states + residual
        normed = routed(x, modality, self.input_layernorm, self.audio_input_layernorm)
        x = x + self.self_attn(positions, normed)
        return routed(x, modality, self._text, self._audio), x

    def _text(self, x: torch.Tensor) -> torch.Tensor:
        return self.mlp(self.post_attention_layernorm(x))

    def _audio(self, x: torch.Tensor) -> torch.Tensor:
        return self.audio_mlp(self.audio_post_attention_layernorm(x))


class SpeechNetwork(nn.Module):
    """Ids of `IdSpace` in, logits of a column's codes out: [n, num_codebooks * codebook_size]."""

    packed_modules_mapping: ClassVar = {  # how vLLM's quantisation calls what it fuses
        "qkv_proj": ["q_proj", "k_proj", "v_proj"],
        "gate_up_proj": ["gate_proj", "up_proj"],
    }

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        config = vllm_config.model_config.hf_config
        width = config.num_codebooks * config.codebook_size
        self.model = LlamaModel(vllm_config=vllm_config, prefix=maybe_prefix(prefix, "model"), layer_type=SpeechLayer)
        self.audio_embedding = nn.Embedding(width, config.hidden_size)
        self.audio_lm_head = ParallelLMHead(width, config.hidden_size, prefix=maybe_prefix(prefix, "audio_lm_head"))
        self.logits_processor = LogitsProcessor(width)
        self._columns = Columns.of(vllm_config)
        codebooks = torch.arange(config.num_codebooks, device=self._columns.device)
        self._codebook_offset = codebooks * config.codebook_size

    def embed_input_ids(self, input_ids: torch.Tensor) -> torch.Tensor:
        """vLLM asks every model for it; text alone, [n, hidden]."""
        return self.model.embed_input_ids(self._columns.text(input_ids))

    def forward(
        self,
        input_ids: torch.Tensor,
        positions: torch.Tensor,
        intermediate_tensors: object = None,
        inputs_embeds: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The last layer's output, [n, hidden]."""
        codes = self._columns.at(input_ids, positions) + self._codebook_offset
        x, modality = self.audio_embedding(codes).sum(dim=-2), None
        if not only_audio():
            is_text = self._columns.is_text(input_ids)
            x = torch.where(is_text[:, None], self.embed_input_ids(input_ids), x)
            modality = Modality.of(is_text)
        return self.model(None, positions, None, x, modality=modality)

    def compute_logits(self, hidden_states: torch.Tensor) -> torch.Tensor | None:
        """Of the positions that vLLM samples behind, gathered from all ranks."""
        return self.logits_processor(self.audio_lm_head, hidden_states)

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> set[str]:
        """vLLM's loader over transformers' names, without the text head (`convert/lm_vllm.py`)."""
        mapper = LlamaModel.hf_to_vllm_mapper | WeightsMapper(
            orig_to_new_prefix={"model.embed_audio_tokens.embed_audio_tokens.": "audio_embedding."}
        )
        return AutoWeightsLoader(self).load_weights(weights, mapper=mapper)
