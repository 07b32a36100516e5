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
from convert.lm_tensorrt_rtx import CHECK_GRAPH
from convert.onnx_executor import OnnxExecutor
from convert.reference import transformers_config
from runtime.engine.delay_pattern import delay
from runtime.engine.inflight.engine import ModelRunner
from runtime.engine.inflight.graph_executor import GraphLimits
from runtime.engine.inflight.onnx_runner import OnnxRunner
from runtime.engine.inflight.rtx_runner import RtxRunner
from runtime.engine.types import AudioSegment, ModelDescription, Segment, TextSegment

# Largest and mean |logit difference|, in standard deviations of the logits. float32 differs only by the order of
# additions; the quantised ones are three times what rounding to 8 or 4 bits in blocks of 32 costs random weights, and
# so are fp16 and bf16 (the real checkpoint is stored in bfloat16, which bf16 keeps to the bit: then fp32's hold).
TOLERANCES = {
    "fp32": (1e-4, 1e-5),
    "fp16": (1.5e-2, 3e-3),
    "bf16": (0.12, 2e-2),
    "int8": (0.2, 0.03),
    "int4": (2.5, 0.4),
}
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
    return _compare(checkpoint, precision, lambda positions: OnnxRunner(directory, 1, positions))


def compare_tensorrt_rtx(checkpoint: Checkpoint, directory: Path, precision: str) -> LogitsError:
    """The same for the one graph of TensorRT-RTX, over the float32 twin that shares its weights; removes the twin."""
    if precision == "bf16" and checkpoint.stored_types() == {"BF16"}:
        precision = "fp32"
    description = ModelDescription.read(directory / ModelDescription.FILE)

    def runner(positions: int) -> RtxRunner:
        # Optimised, ONNX Runtime would unpack every weight to float32: twice the memory the whole model takes.
        limits = GraphLimits(max_rows=1, max_prefill=positions, max_past=positions)
        executor = OnnxExecutor(directory / CHECK_GRAPH, limits, optimize=False)
        return RtxRunner(executor, description, 1, positions)

    error = _compare(checkpoint, precision, runner)
    (directory / CHECK_GRAPH).unlink()
    return error


def _compare(checkpoint: Checkpoint, precision: str, open_runner: Callable[[int], ModelRunner]) -> LogitsError:
    segments = mixed_prompt(checkpoint)
    expected = reference_logits(checkpoint, segments)[-_STEPS:]
    actual = _exported_logits(open_runner(sum(map(len, segments))), segments)
    return checked(actual, expected, precision, TOLERANCES[precision])


def checked(actual: np.ndarray, expected: np.ndarray, precision: str, tolerance: tuple[float, float]) -> LogitsError:
    """How far logits [..., codebook_size] are from transformers'. Raises ExportError above the tolerance."""
    difference = np.abs(actual - expected) / expected.std()
    same = (actual.argmax(-1) == expected.argmax(-1)).mean()
    error = LogitsError(float(difference.max()), float(difference.mean()), float(same))
    maximum, mean = tolerance
    if not (error.maximum <= maximum and error.mean <= mean):  # also refuses NaN
        raise ExportError(
            f"the {precision} logits are up to {error.maximum:.1e} and on average {error.mean:.1e} standard deviations "
            f"away from transformers'; {maximum:.0e} and {mean:.0e} are allowed"
        )
    return error


def mixed_prompt(checkpoint: Checkpoint) -> list[Segment]:
    """Text, a reference clip, text, and the first generated columns; random but fixed."""
    config, random = checkpoint.config, np.random.default_rng(0)
    layout = config.layout
    text = random.integers(0, config.vocab_size, 40)
    clip = delay(random.integers(0, layout.first_special_id, (config.num_codebooks, 12)), layout)
    spoken = delay(random.integers(0, layout.first_special_id, (config.num_codebooks, 40)), layout)[:_STEPS]
    return [TextSegment(text[:25]), AudioSegment(clip), TextSegment(text[25:]), AudioSegment(spoken)]


def _exported_logits(runner: ModelRunner, segments: list[Segment]) -> np.ndarray:
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
