"""What stands in for the TensorRT engine: transformers' own layers, fed with token ids and a prompt table.

Knows the frame table's rules as the network definition does: an id below the number of codes is a row of the table and
an audio position, any other is a text token.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from convert import torchaudio_shim

torchaudio_shim.install()

from transformers import HiggsAudioV2ForConditionalGeneration  # noqa: E402


class KeysAndValues:
    """One request's cache; layers append to it."""

    def __init__(self, layers: int) -> None:
        self.layers: list[tuple[torch.Tensor, torch.Tensor] | None] = [None] * layers

    @property
    def positions(self) -> int:
        return 0 if self.layers[0] is None else self.layers[0][0].shape[2]

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: Any, **__: Any) -> tuple[Any, Any]:
        held = self.layers[layer]
        if held is not None:
            keys, values = torch.cat([held[0], keys], dim=2), torch.cat([held[1], values], dim=2)
        self.layers[layer] = keys, values
        return keys, values

    def first(self, positions: int) -> KeysAndValues:
        """A copy of the first positions, as a reused block would hold them."""
        copy = KeysAndValues(len(self.layers))
        copy.layers = [
            (held[0][:, :, :positions].clone(), held[1][:, :, :positions].clone()) for held in self.layers if held
        ]
        return copy


# What a step feeds one request: ids int64 [positions], its prompt table [rows, hidden], its cache.
Part = tuple[torch.Tensor, torch.Tensor, KeysAndValues]


class Network:
    """A checkpoint's language model in float32 on `device`."""

    dtype = torch.float32

    def __init__(self, checkpoint: Path, device: str = "cpu") -> None:
        self.device = torch.device(device)
        model: Any = HiggsAudioV2ForConditionalGeneration.from_pretrained(
            checkpoint, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        model.to(self.device)
        self._model, self._head = model.model, model.audio_lm_head
        config = model.config
        self.num_layers, self.hidden_size = config.num_hidden_layers, config.hidden_size
        self.table_ids = config.num_codebooks * config.codebook_size

    @property
    def audio_embedding(self) -> torch.Tensor:
        """[table_ids, hidden]."""
        return self._model.embed_audio_tokens.embed_audio_tokens.weight.detach()

    def new_cache(self) -> KeysAndValues:
        """An empty one."""
        return KeysAndValues(self.num_layers)

    def step(self, parts: list[Part]) -> list[torch.Tensor]:
        """One step of several requests: of each, the last position's logits, [table_ids]."""
        return [self(*part) for part in parts]

    @torch.inference_mode()
    def __call__(self, ids: torch.Tensor, rows: torch.Tensor, cache: KeysAndValues) -> torch.Tensor:
        """Read ids, int64 [positions], with a prompt table [rows, hidden]; the last one's logits, [table_ids]."""
        is_audio = ids < self.table_ids
        hidden = self._model.embed_tokens((ids - self.table_ids).clamp(min=0))
        hidden[is_audio] = rows[ids[is_audio]]
        past, count = cache.positions, len(ids)
        position_ids = torch.arange(past, past + count, device=self.device)[None]
        mask = torch.full((count, past + count), float("-inf"), device=self.device).triu(past + 1)[None, None]
        hidden = hidden[None]
        rotary = self._model.rotary_emb(hidden, position_ids)
        for layer in self._model.layers:
            hidden = layer(
                hidden,
                rotary,
                attention_mask=mask,
                audio_token_mask=None if bool(is_audio.all()) else is_audio[None],
                position_ids=position_ids,
                past_key_values=cache,
                use_cache=True,
            )
        return self._head(self._model.norm(hidden[0, -1]))
