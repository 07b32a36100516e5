"""Comparing an exported language model with transformers, layer by layer, so that any size fits in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers.models.higgs_audio_v2.modeling_higgs_audio_v2 import (
    HiggsAudioV2DecoderLayer,
    HiggsAudioV2RMSNorm,
    HiggsAudioV2RotaryEmbedding,
)

from convert.checkpoint import Checkpoint
from convert.errors import ExportError
from convert.reference import transformers_config
from engine.delay_pattern import delay
from engine.onnx_runner import OnnxRunner
from engine.types import AudioSegment, CodebookLayout, Segment, TextSegment

# Largest and mean |logit difference|, in standard deviations of the logits. float32 differs only by the order of
# additions; the quantised ones are three times what rounding to 8 or 4 bits in blocks of 32 costs random weights.
TOLERANCES = {"fp32": (1e-4, 1e-5), "int8": (0.2, 0.03), "int4": (2.5, 0.4)}
_STEPS = 4


@dataclass(frozen=True)
class LogitsError:
    """How far the exported graphs' logits are from transformers', in standard deviations of the logits."""

    maximum: float
    mean: float
    same_choice: float  # fraction of codebooks where the likeliest code is the same


def compare(checkpoint: Checkpoint, directory: Path, precision: str) -> LogitsError:
    """Run a mixed prompt and a few decode steps through the exported graphs and through transformers' layers.

    Raises ExportError when the difference exceeds the precision's tolerance.
    """
    segments = mixed_prompt(checkpoint)
    expected = reference_logits(checkpoint, segments)[-_STEPS:]
    actual = _exported_logits(directory, segments)
    difference = np.abs(actual - expected) / expected.std()
    same = (actual.argmax(-1) == expected.argmax(-1)).mean()
    error = LogitsError(float(difference.max()), float(difference.mean()), float(same))
    maximum, mean = TOLERANCES[precision]
    if not (error.maximum <= maximum and error.mean <= mean):  # also refuses NaN
        raise ExportError(
            f"the {precision} logits are up to {error.maximum:.1e} and on average {error.mean:.1e} standard deviations "
            f"away from transformers'; {maximum:.0e} and {mean:.0e} are allowed"
        )
    return error


def mixed_prompt(checkpoint: Checkpoint) -> list[Segment]:
    """Text, a reference clip, text, and the first generated columns; random but fixed."""
    config, random = checkpoint.config, np.random.default_rng(0)
    layout = CodebookLayout(config.num_codebooks, config.codebook_size, config.stream_bos_id, config.stream_eos_id)
    text = random.integers(0, config.vocab_size, 40)
    clip = delay(random.integers(0, layout.first_special_id, (config.num_codebooks, 12)), layout)
    spoken = delay(random.integers(0, layout.first_special_id, (config.num_codebooks, 40)), layout)[:_STEPS]
    return [TextSegment(text[:25]), AudioSegment(clip), TextSegment(text[25:]), AudioSegment(spoken)]


def _exported_logits(directory: Path, segments: list[Segment]) -> np.ndarray:
    runner = OnnxRunner(directory, max_streams=1, max_positions=sum(map(len, segments)))
    *prompt, spoken = segments
    assert isinstance(spoken, AudioSegment)
    position = 0
    for segment in prompt:
        half = len(segment) // 2  # two pieces: a piece must continue where the one before it stopped
        for piece in (slice(0, half), slice(half, None)):
            position += runner.prefill(0, position, segment.slice(piece))
    columns = torch.from_numpy(spoken.columns)
    logits = [runner.decode(columns[i : i + 1], [position + i]).clone() for i in range(_STEPS)]
    return torch.cat(logits).numpy()


@torch.no_grad()
def reference_logits(
    checkpoint: Checkpoint, segments: list[Segment], watch: Callable[[int, torch.nn.Module], None] | None = None
) -> np.ndarray:
    """transformers' own layers, one in memory at a time; float32 [positions, num_codebooks, codebook_size].

    `watch` is shown each layer, with its index, before it runs.
    """
    config = transformers_config(checkpoint.config)
    hidden, is_audio = _embed(checkpoint, segments)
    positions = len(is_audio)
    mask = torch.full((positions, positions), float("-inf")).triu(1)[None, None]
    rotary = HiggsAudioV2RotaryEmbedding(config)(hidden, torch.arange(positions)[None])
    for i in range(checkpoint.config.num_layers):
        layer = HiggsAudioV2DecoderLayer(config, i)
        names = layer.state_dict().keys()
        layer.load_state_dict({name: checkpoint.tensor(f"model.layers.{i}.{name}").float() for name in names})
        if watch:
            watch(i, layer)
        hidden = layer(hidden, rotary, attention_mask=mask, audio_token_mask=is_audio[None])
    norm = HiggsAudioV2RMSNorm(config.hidden_size, config.rms_norm_eps)
    norm.weight.copy_(checkpoint.tensor("model.norm.weight").float())
    logits = norm(hidden)[0] @ checkpoint.tensor("audio_lm_head.weight").float().T
    return logits.view(positions, checkpoint.config.num_codebooks, checkpoint.config.codebook_size).numpy()


def _embed(checkpoint: Checkpoint, segments: list[Segment]) -> tuple[torch.Tensor, torch.Tensor]:
    config = checkpoint.config
    text = checkpoint.tensor("model.embed_tokens.weight")
    audio = checkpoint.tensor("model.embed_audio_tokens.embed_audio_tokens.weight")
    offsets = torch.arange(config.num_codebooks) * config.codebook_size
    parts, is_audio = [], []
    for segment in segments:
        if isinstance(segment, AudioSegment):
            parts.append(audio[torch.from_numpy(segment.columns) + offsets].float().sum(dim=1))
        else:
            parts.append(text[torch.from_numpy(segment.ids)].float())
        is_audio += [isinstance(segment, AudioSegment)] * len(segment)
    return torch.cat(parts)[None], torch.tensor(is_audio)
