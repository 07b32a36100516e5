"""The language model as vLLM reads it: transformers' layout in one file, whichever layout the checkpoint has.

Nothing is joined, rounded or compiled: vLLM does what it needs while it loads. The text head is left out.
"""

from __future__ import annotations

from pathlib import Path

import torch
from tqdm import tqdm

from convert.checkpoint import Checkpoint, required_shapes
from convert.errors import ExportError
from convert.lm import describe
from convert.lm_check import TOLERANCES, LogitsError, checked, mixed_prompt, reference_logits
from convert.reference import transformers_config
from convert.safetensors_writer import SafetensorsWriter, TensorSpec
from convert.shards import SINGLE_FILE
from runtime.engine.types import ModelDescription

# Of the file. vLLM rounds to fp8 itself, as it loads.
FLOAT_TYPES = {"bf16": torch.bfloat16, "fp32": torch.float32, "fp8": torch.bfloat16}
_EXACT = (0.0, 0.0)  # of a type that holds the stored values


def export(checkpoint: Checkpoint, directory: Path, precision: str = "bf16", max_positions: int = 4096) -> None:
    """Write config.json, model.safetensors and lm.json into `directory`.

    `max_positions` limits prompt plus generated columns of one stream: vLLM's rotary table is that long.
    """
    directory.mkdir(parents=True, exist_ok=True)
    dtype, layout = FLOAT_TYPES[precision], checkpoint.config.layout
    shapes = required_shapes(checkpoint.config)
    specs = [TensorSpec(name, shape, dtype) for name, shape in shapes.items()]
    with SafetensorsWriter(directory / SINGLE_FILE, specs) as writer:
        for name in tqdm(shapes, desc="language model", unit="tensor", disable=len(shapes) < 128):
            writer.add(name, checkpoint.tensor(name).to(dtype))
    config = transformers_config(checkpoint.config)
    config.update(
        {
            "audio_stream_bos_id": layout.stream_bos_id,
            "audio_stream_eos_id": layout.stream_eos_id,
            **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id")),  # of no use to vLLM, which sees our ids
            "dtype": str(dtype).removeprefix("torch."),
            "max_position_embeddings": max(max_positions, checkpoint.config.max_position_embeddings),
        }
    )
    config.save_pretrained(directory)
    describe(checkpoint.config, max_positions).write(directory / ModelDescription.FILE)


def compare(checkpoint: Checkpoint, directory: Path, precision: str) -> LogitsError:
    """Run a mixed prompt through transformers' layers with the written weights and with the checkpoint's own.

    Raises ExportError when the logits differ at all, although the type holds the stored values, or by more than bf16
    may move them, where it does not. What vLLM makes of the weights is compared by tests/vllm.
    """
    segments = mixed_prompt(checkpoint)
    written = Checkpoint.open(directory)
    if written.config.layout != checkpoint.config.layout:
        raise ExportError(f"{directory} has another layout of codes than the checkpoint")
    expected, actual = (reference_logits(one, segments) for one in (checkpoint, written))
    if precision == "fp32" or checkpoint.stored_types() == {"BF16"}:
        return checked(actual, expected, precision, _EXACT)
    return checked(actual, expected, precision, TOLERANCES["bf16"])
