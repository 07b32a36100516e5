"""FP8 (e4m3) for TensorRT-LLM: weights with one scale per matrix, and static scales for the matrices' inputs.

All scales are powers of two. An e4m3 number has three bits of mantissa at any magnitude, so a scale need not match the
largest value exactly, as an integer format's must; and a power of two survives TensorRT-LLM's rounding of the scales to
bf16 (tensorrt_llm/quantization/layers.py, `FP8Linear.forward`).

The inputs' scales are calibrated here, on the CPU, by one pass of transformers' own layers over a prompt in Higgs
Audio's format: text in the checkpoint's own tokenizer and a clip of random codes. One layer is in memory at a time. A
factor of two of headroom covers what such a prompt cannot show (other voices, other languages) and costs no precision.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from convert.checkpoint import Checkpoint
from convert.config import TOKENIZER_FILE
from convert.lm_check import reference_logits
from runtime.engine.delay_pattern import delay
from runtime.engine.types import AudioSegment, Segment, TextSegment

DTYPE = torch.float8_e4m3fn
LARGEST = torch.finfo(DTYPE).max  # 448
WEIGHT_SCALE, INPUT_SCALE = "weights_scaling_factor", "activation_scaling_factor"
ROOM = 2.0
_PROMPT = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nGenerate audio following instruction.\n\n"
    "<|scene_desc_start|>\nAudio is recorded from a quiet room.\n<|scene_desc_end|><|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nThe quick brown fox, aged 7, jumped over 13 lazy dogs; "
    "why? Because it could!<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n<|audio_out_bos|>"
)
_FRAMES = 64
# transformers' module (its input is what is measured) -> TensorRT-LLM's linear layer; both experts share a scale.
_LINEARS = {
    "self_attn.q_proj": "attention.qkv",
    "self_attn.o_proj": "attention.dense",
    "mlp.gate_proj": "mlp.fc",
    "audio_mlp.gate_proj": "mlp.fc",
    "mlp.down_proj": "mlp.proj",
    "audio_mlp.down_proj": "mlp.proj",
}


def scale_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of the scales of a matrix [out, in]: (1,); of experts [experts, out, in]: (experts, 1)."""
    return (1,) if len(shape) == 2 else (shape[0], 1)


def quantize(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`weight` [out, in] or [experts, out, in] as e4m3, and the float32 scales that give it back by multiplication."""
    matrices = weight.flatten(0, -3) if weight.dim() > 2 else weight[None]
    scales = torch.tensor([_scale(matrix.abs().max().item()) for matrix in matrices])
    levels = torch.stack([(matrix.float() / scale).to(DTYPE) for matrix, scale in zip(matrices, scales, strict=True)])
    return levels.view(weight.shape), scales.view(scale_shape(tuple(weight.shape)))


def round_trip(values: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """float32 `values` as e4m3 with `scale` represents them: saturated, rounded, and back in float32."""
    return (values / scale).clamp(-LARGEST, LARGEST).to(DTYPE).float() * scale


def calibrate(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """TensorRT-LLM's name of each layer's linear -> the scale of its input, float32 [1]."""
    largest: dict[str, float] = {}

    def watch(index: int, layer: torch.nn.Module) -> None:
        for module_name, linear in _LINEARS.items():
            name = f"transformer.layers.{index}.{linear}"

            def record(_: torch.nn.Module, inputs: tuple[Any, ...], name: str = name) -> None:
                largest[name] = max(largest.get(name, 0.0), inputs[0].abs().max().item())

            layer.get_submodule(module_name).register_forward_pre_hook(record)

    reference_logits(checkpoint, _calibration_prompt(checkpoint), watch)
    return {name: torch.tensor([_scale(ROOM * value)]) for name, value in largest.items()}


def _scale(largest: float) -> float:
    """The smallest power of two that brings `largest` into e4m3's range."""
    return 2.0 ** math.ceil(math.log2(largest / LARGEST)) if largest > 0 else 1.0


def _calibration_prompt(checkpoint: Checkpoint) -> list[Segment]:
    config, random = checkpoint.config, np.random.default_rng(0)
    layout = config.layout
    tokenizer = Tokenizer.from_file(str(checkpoint.directory / TOKENIZER_FILE))
    text = np.array(tokenizer.encode(_PROMPT, add_special_tokens=False).ids, dtype=np.int64)
    clip = delay(random.integers(0, layout.first_special_id, (config.num_codebooks, _FRAMES)), layout)
    return [TextSegment(text), AudioSegment(clip), TextSegment(text), AudioSegment(clip)]
