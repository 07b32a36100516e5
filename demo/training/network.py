"""The language model's forward pass as training needs it, over transformers' own module and weights.

transformers picks text and audio positions by masks, for whose sizes a GPU is waited for many times a step; here their
places are given. And attention is written out: its maps are there for the heads that are guided, and at the lengths of
these examples a CPU computes it, with its gradients, two to six times as fast as torch's own kernel. A test holds that
both compute the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import HiggsAudioV2ForConditionalGeneration
from transformers.models.higgs_audio_v2.modeling_higgs_audio_v2 import apply_rotary_pos_emb


@dataclass(frozen=True)
class Output:
    """`last` [batch, length, hidden] behind the final norm; `between`, the residual stream behind so many layers;
    `attention` of (layer, head): [rows, length], of the positions that were asked for."""

    last: torch.Tensor
    between: dict[int, torch.Tensor]
    attention: dict[tuple[int, int], torch.Tensor]


@dataclass(frozen=True)
class Places:
    """Flat places int64 in [batch * length]: of text, of audio, and the rows whose guided attention is wanted."""

    text: torch.Tensor
    audio: torch.Tensor
    rows: torch.Tensor


def run_layer(
    layer: Any, hidden: torch.Tensor, positions: tuple[torch.Tensor, torch.Tensor], places: Places, heads: list[int]
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The residual stream [batch, length, hidden] behind a layer, and of its `heads` the attention of `places.rows`."""
    normed = _either(hidden, places, layer.input_layernorm, layer.audio_input_layernorm)
    mixed, maps = _attend(layer.self_attn, normed, positions, heads, places.rows)
    hidden = hidden + mixed
    return hidden + _either(
        hidden,
        places,
        nn.Sequential(layer.post_attention_layernorm, layer.mlp),
        nn.Sequential(layer.audio_post_attention_layernorm, layer.audio_mlp),
    ), maps


def forward(
    model: HiggsAudioV2ForConditionalGeneration,
    ids: torch.Tensor,
    columns: torch.Tensor,
    places: Places,
    heads: Collection[tuple[int, int]],
    after: Collection[int],
    layer_run: Callable[..., tuple[torch.Tensor, list[torch.Tensor]]] = run_layer,
    depth: int | None = None,
) -> Output:
    """What the model makes of `ids` int64 [batch, length], padded on the right, and `columns` int64 [audio, codebooks]
    at its audio positions; with the attention of `heads`, (layer, head) each, and the states `after` so many layers.

    `layer_run` may be `run_layer` compiled; `depth` layers are run, all by default.
    """
    core = model.model
    hidden = _put(core.embed_tokens(ids), places.audio, core.embed_audio_tokens(columns))
    positions = core.rotary_emb(hidden, torch.arange(ids.shape[1], device=ids.device)[None])
    attention, between = dict[tuple[int, int], torch.Tensor](), dict[int, torch.Tensor]()
    for index, layer in enumerate(core.layers[:depth]):
        wanted = [head for at, head in heads if at == index]
        hidden, maps = layer_run(layer, hidden, positions, places, wanted)
        attention |= {(index, head): one for head, one in zip(wanted, maps, strict=True)}
        if index + 1 in after:
            between[index + 1] = hidden
    return Output(core.norm(hidden), between, attention)


def rows_of(states: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """[places, hidden] of [batch, length, hidden]."""
    return states.flatten(0, 1).index_select(0, places)


def _put(states: torch.Tensor, places: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    return states.flatten(0, 1).index_copy(0, places, rows.to(states.dtype)).view_as(states)


def _either(states: torch.Tensor, places: Places, of_text: nn.Module, of_audio: nn.Module) -> torch.Tensor:
    """Text positions through one module, audio positions through the other."""
    text, audio = of_text(rows_of(states, places.text)), of_audio(rows_of(states, places.audio))
    joined = torch.empty(states.shape, dtype=text.dtype, device=states.device)
    return _put(_put(joined, places.text, text), places.audio, audio)


def _attend(
    layer: Any,
    states: torch.Tensor,
    positions: tuple[torch.Tensor, torch.Tensor],
    wanted: list[int],
    rows: torch.Tensor,
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """A layer's self-attention [batch, length, hidden], and of the heads `wanted` the attention of `rows`."""
    batch, length, _ = states.shape
    queries, keys, values = (
        part(states).view(batch, length, -1, layer.head_dim).transpose(1, 2)
        for part in (layer.q_proj, layer.k_proj, layer.v_proj)
    )
    queries, keys = apply_rotary_pos_emb(queries, keys, *positions)
    group = queries.shape[1] // keys.shape[1]
    keys, values = (part.repeat_interleave(group, dim=1).flatten(0, 1) for part in (keys, values))
    later = torch.full((length, length), -torch.inf, dtype=values.dtype, device=states.device).triu(1)
    scores = torch.baddbmm(
        later.expand(len(keys), length, length),
        queries.flatten(0, 1).to(values.dtype),
        keys.to(values.dtype).transpose(1, 2),
        alpha=layer.head_dim**-0.5,
    )
    attention = scores.softmax(dim=-1)
    mixed = (attention @ values).view(batch, -1, length, layer.head_dim)
    maps = [rows_of(attention.view(batch, -1, length, length)[:, head], rows).float() for head in wanted]
    return layer.o_proj(mixed.transpose(1, 2).reshape(batch, length, -1)), maps
