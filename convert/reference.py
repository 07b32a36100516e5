"""transformers' own view of a checkpoint, against which exports are checked."""

from __future__ import annotations

from transformers import HiggsAudioV2Config

from convert.config import LanguageModelConfig


def transformers_config(config: LanguageModelConfig) -> HiggsAudioV2Config:
    """The checkpoint's configuration as transformers' class, with plain (eager) attention."""
    higgs = HiggsAudioV2Config(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        num_key_value_heads=config.num_kv_heads,
        head_dim=config.head_dim,
        rms_norm_eps=config.rms_norm_eps,
        rope_parameters=dict(config.rope_parameters),
        max_position_embeddings=config.max_position_embeddings,
        num_codebooks=config.num_codebooks,
        codebook_size=config.codebook_size,
        audio_token_id=config.audio_token_id,
        audio_bos_token_id=config.audio_bos_token_id,
        audio_delay_token_id=config.audio_delay_token_id,
    )
    higgs._attn_implementation = "eager"
    return higgs
