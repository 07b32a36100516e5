"""What a server spoke, code by code, against transformers: each code must be the one transformers' logits choose.

The served codes are given to transformers as the history of a single forward pass, one layer in memory at a time, so
that the real model fits a machine whose GPU is taken. A code that is not the likeliest one counts as a choice between
near-equals when the two logits lie no further apart than the engine's arithmetic can move them; the distance of the
worst one is reported.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from convert.checkpoint import Checkpoint
from convert.codec import load_codec
from convert.lm_check import reference_logits
from runtime.engine.delay_pattern import delay
from runtime.engine.types import AudioSegment, CodebookLayout, Segment, TextSegment
from tests.serving.models import codes_of, first_prompt, infer, written

# Bits of the numbers an engine computes in; weights of fewer bits are widened to bf16 first.
_MANTISSA_BITS = {"fp32": 24, "fp16": 11}
_BF16_BITS = 8
_SIGMAS = 4.0  # the worst of some thousand comparisons


@dataclass(frozen=True)
class Spoken:
    """A greedy generation. `ids` int32 [positions]; `clip` and `codes` int32 [num_codebooks, frames]."""

    ids: np.ndarray
    clip: np.ndarray
    codes: np.ndarray
    finish_reason: str


@dataclass(frozen=True)
class Agreement:
    """Of all codes that transformers was free to choose: how many there are, how many are its choice, the largest
    distance of one that is not, in standard deviations of the logits, and the distance that is allowed."""

    codes: int
    equal: int
    worst: float
    allowed: float

    @property
    def holds(self) -> bool:
        return self.codes > 0 and self.worst <= self.allowed

    def __str__(self) -> str:
        same = f"{self.equal} of {self.codes} codes are transformers' choice"
        if self.equal == self.codes:
            return same
        return f"{same}, the others at most {self.worst:.1e} standard deviations from it ({self.allowed:.1e} allowed)"


def speak(url: str, text: str, options: dict[str, Any], reference: tuple[np.ndarray, str] | None) -> Spoken:
    """Ask the server's models one after another, so that every intermediate is seen."""
    values: dict[str, Any] = {"text": text, "options": json.dumps(options)}
    if reference is not None:
        values |= {"reference_audio": reference[0], "reference_text": reference[1]}
    names = ["reference_samples", "reference_lengths"]
    prompt = infer(url, "prompt", values, ["plan", *names])
    clip = infer(url, "codec_encoder", {name: prompt[name] for name in names}, ["reference_codes"])["reference_codes"]
    plan = written(prompt)
    codes, reason = codes_of(url, plan, clip)
    return Spoken(first_prompt(plan), clip, codes, reason)


def compare(spoken: Spoken, checkpoint: Checkpoint, precision: str, weight_error: float) -> Agreement:
    """Judge every code of a generation.

    `weight_error` is how far the exported weights alone move a logit (export.json's `logits_error.maximum`).
    """
    config = checkpoint.config
    layout = CodebookLayout(config.num_codebooks, config.codebook_size, config.stream_bos_id, config.stream_eos_id)
    columns = delay(spoken.codes, layout)[: spoken.codes.shape[1] + 1]
    logits = reference_logits(checkpoint, [*_prompt(spoken, checkpoint, layout), AudioSegment(columns)])
    logits = logits[-len(columns) :]
    deviation = float(logits.std())
    # Column t is chosen by the logits behind column t - 1; in it, codebooks t and up are still the stream's beginning.
    chosen = [(t, k) for t in range(1, len(columns)) for k in range(min(t, config.num_codebooks))]
    behind = np.array([logits[t - 1, k].max() - logits[t - 1, k, columns[t, k]] for t, k in chosen])
    return Agreement(
        codes=len(behind),
        equal=int((behind == 0).sum()),
        worst=float(behind.max(initial=0.0)) / deviation,
        allowed=allowed_distance(precision, config.num_layers, weight_error),
    )


def allowed_distance(precision: str, num_layers: int, weight_error: float) -> float:
    """How far apart two logits may be for an engine to confuse them, in standard deviations.

    Each of the two additions to a layer's residual rounds to the mantissa; the roundings add up like a random walk, a
    choice compares two logits, and the worst of thousands lies some sigmas out. The weights' own error comes twice.
    """
    bits = _MANTISSA_BITS.get(precision, _BF16_BITS)
    rounding = 2.0**-bits * math.sqrt(2 * num_layers)
    return _SIGMAS * math.sqrt(2) * rounding + 2 * weight_error


def full_decode(codes: np.ndarray, source: str, revision: str | None) -> np.ndarray:
    """The codes through transformers' codec at once, clamped; float32 [samples]."""
    codec = load_codec(source, revision)
    with torch.no_grad():
        audio = codec.decode(torch.from_numpy(codes)[None].long()).audio_values
    return audio.reshape(-1).clamp(-1, 1).numpy()


def _prompt(spoken: Spoken, checkpoint: Checkpoint, layout: CodebookLayout) -> list[Segment]:
    marks = np.flatnonzero(spoken.ids == checkpoint.config.audio_token_id)
    ids = spoken.ids.astype(np.int64)
    if not len(marks):
        return [TextSegment(ids)]
    (mark,) = marks
    return [TextSegment(ids[:mark]), AudioSegment(delay(spoken.clip, layout)), TextSegment(ids[mark + 1 :])]
