"""Compares a TensorRT-LLM checkpoint with transformers: runs its own files in plain torch, a layer at a time.

The forward pass reads only what `trtllm-build` reads, and quantises as TensorRT-LLM does: weight-only precisions when a
matrix is loaded, fp8 by the scales in the file. It is float32 throughout, so it shows what conversion and quantisation
cost, but not what bf16 arithmetic adds on a GPU.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch.nn import functional

from convert import fp8
from convert.checkpoint import Checkpoint
from convert.lm_check import LogitsError, checked, mixed_prompt, reference_logits
from convert.trtllm import CONFIG, WEIGHTS
from runtime.engine.types import AUDIO_EMBEDDING, AudioSegment, Segment

# Largest and mean |logit difference|, in standard deviations of the logits. fp32 differs only by the order of
# additions, and so does bf16 of a checkpoint that is bf16 already: then fp32's hold. The others are three times what
# rounding costs the random weights of the twelve-layer bench checkpoint (for bf16: a float32 one); int4's mean is held
# to 0.9, since unrelated logits are 1.1 apart.
TOLERANCES = {"fp32": (1e-4, 1e-5), "bf16": (0.15, 0.02), "fp8": (2.1, 0.4), "int8": (0.45, 0.085), "int4": (5.0, 0.9)}
_BITS = {"W8A16": 8, "W4A16": 4}


def compare(checkpoint: Checkpoint, directory: Path, precision: str) -> LogitsError:
    """Run a mixed prompt and a few columns of speech through the converted files and through transformers' layers.

    Raises ExportError when the difference exceeds the precision's tolerance.
    """
    segments = mixed_prompt(checkpoint)
    spoken = len(segments[-1])
    expected = reference_logits(checkpoint, segments)[-spoken:]
    actual = ConvertedModel(directory).logits(segments)[-spoken:].reshape(expected.shape)
    exact = precision == "bf16" and checkpoint.stored_types() == {"BF16"}
    return checked(actual, expected, precision, TOLERANCES["fp32" if exact else precision])


class ConvertedModel:
    """A TensorRT-LLM checkpoint of ours, run from its files."""

    def __init__(self, directory: Path) -> None:
        self._config: dict[str, Any] = json.loads((directory / CONFIG).read_text())
        self._weights, self._audio_embedding = directory / WEIGHTS, directory / AUDIO_EMBEDDING
        self._quant_algo: str | None = self._config["quantization"]["quant_algo"]

    @torch.no_grad()
    def logits(self, segments: list[Segment]) -> np.ndarray:
        """float32 [positions, num_codebooks * codebook_size], of every position of one stream."""
        config = self._config
        with safe_open(self._weights, framework="pt") as stored, safe_open(self._audio_embedding, "pt") as audio:
            hidden, experts = self._embed(segments, stored, audio.get_tensor("weight"))
            rotary = self._rotary(len(hidden))
            for index in range(config["num_hidden_layers"]):
                layer = _Layer(stored, f"transformer.layers.{index}", config, self._quant_algo)
                hidden = hidden + layer.attention(layer.norm("input", hidden, experts), rotary)
                hidden = hidden + layer.feed_forward(layer.norm("post", hidden, experts), experts)
            hidden = _rms_norm(hidden, stored.get_tensor("transformer.ln_f.weight"), config["norm_epsilon"])
            return (hidden @ stored.get_tensor("lm_head.weight").float().T).numpy()

    def _embed(self, segments: list[Segment], stored: Any, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings float32 [positions, hidden], and the expert of each position: 0 text, 1 audio."""
        text = stored.get_tensor("transformer.vocab_embedding.weight")
        parts, experts = [], []
        for segment in segments:
            if isinstance(segment, AudioSegment):
                columns = torch.from_numpy(segment.columns)
                offsets = torch.arange(columns.shape[1]) * (self._config["vocab_size"] // columns.shape[1])
                parts.append(audio[columns + offsets].float().sum(dim=1))
            else:
                parts.append(text[torch.from_numpy(segment.ids)].float())
            experts += [int(isinstance(segment, AudioSegment))] * len(segment)
        return torch.cat(parts), torch.tensor(experts)

    def _rotary(self, positions: int) -> torch.Tensor:
        """Angles [positions, head_size / 2], by the rules of TensorRT-LLM's RopeEmbeddingUtils (functional.py)."""
        size, scaling = self._config["head_size"], self._config["rotary_scaling"]
        frequencies = 1.0 / self._config["rotary_base"] ** (torch.arange(0, size, 2, dtype=torch.float) / size)
        if scaling:
            low, high, length = (
                scaling[key] for key in ("low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
            )
            turns = length * frequencies / (2 * torch.pi)  # within the original length
            kept = ((turns - low) / (high - low)).clamp(0, 1)
            frequencies = frequencies * (kept + (1 - kept) / scaling["factor"])
        return torch.arange(positions, dtype=torch.float)[:, None] * frequencies


class _Layer:
    """One layer's arithmetic, its matrices read when they are needed."""

    def __init__(self, stored: Any, name: str, config: dict[str, Any], quant_algo: str | None) -> None:
        self._stored, self._name, self._config, self._quant_algo = stored, name, config, quant_algo

    def norm(self, place: str, hidden: torch.Tensor, experts: torch.Tensor) -> torch.Tensor:
        weights = [self._stored.get_tensor(f"{self._name}.{e}{place}_layernorm.weight") for e in ("", "audio_")]
        return _rms_norm(hidden, torch.stack(weights)[experts], self._config["norm_epsilon"])

    def attention(self, hidden: torch.Tensor, rotary: torch.Tensor) -> torch.Tensor:
        heads, kv_heads = self._config["num_attention_heads"], self._config["num_key_value_heads"]
        qkv = self._linear("attention.qkv", hidden, None).unflatten(-1, (heads + 2 * kv_heads, -1)).transpose(0, 1)
        query, key, value = qkv.split([heads, kv_heads, kv_heads])
        attended = functional.scaled_dot_product_attention(
            _rotate(query, rotary), _rotate(key, rotary), value, is_causal=True, enable_gqa=True
        )
        return self._linear("attention.dense", attended.transpose(0, 1).flatten(1), None)

    def feed_forward(self, hidden: torch.Tensor, experts: torch.Tensor) -> torch.Tensor:
        output = torch.empty_like(hidden)
        for expert in experts.unique().tolist():
            up, gate = self._linear("mlp.fc", hidden[experts == expert], expert).chunk(2, dim=-1)
            output[experts == expert] = self._linear("mlp.proj", up * functional.silu(gate), expert)
        return output

    def _linear(self, name: str, values: torch.Tensor, expert: int | None) -> torch.Tensor:
        """`values` times the transposed matrix, both as the precision rounds them."""
        linear = f"{self._name}.{name}"

        def stored(part: str) -> torch.Tensor:
            tensor: torch.Tensor = self._stored.get_tensor(f"{linear}.{part}")
            return tensor if expert is None else tensor[expert]

        weight = stored("weight").float()
        if self._quant_algo == "FP8":
            weight = weight * stored(fp8.WEIGHT_SCALE)
            values = fp8.round_trip(values, self._stored.get_tensor(f"{linear}.{fp8.INPUT_SCALE}"))
        elif self._quant_algo:
            weight = weight_only_round_trip(weight, _BITS[self._quant_algo])
        return values @ weight.T


def weight_only_round_trip(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """A matrix [out, in] as TensorRT-LLM quantises it while loading: one bf16 scale per output channel, the largest
    magnitude over 2^(bits-1), levels rounded to nearest and clipped (cutlass_preprocessors.cpp,
    `symmetric_quantize`)."""
    steps = 1 << (bits - 1)
    scales = weight.abs().amax(dim=-1, keepdim=True) / steps
    levels = (weight / scales.clamp(min=torch.finfo(torch.float).tiny)).round().clamp(-steps, steps - 1)
    return levels * scales.bfloat16().float()


def _rms_norm(hidden: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    return hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + epsilon) * weight.float()


def _rotate(heads: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """`heads` [heads, positions, size]: the first half of each turned against the second (GPT-NeoX's pairing)."""
    first, second = heads.chunk(2, dim=-1)
    cosine, sine = angles.cos(), angles.sin()
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)
