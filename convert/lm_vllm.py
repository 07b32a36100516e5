"""The language model as vLLM reads it: transformers' layout in one file, whichever layout the checkpoint has.

Nothing is joined, rounded or compiled: vLLM does what it needs while it loads. The text head is left out. Of a
checkpoint that is quantised already, the layers' matrices stay as they are stored. What else is quantised is written as
the values it stands for: the network has embeddings and head in floats, and vLLM joins q, k and v, and gate and up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from tqdm import tqdm

from convert.checkpoint import Checkpoint, required_shapes
from convert.errors import ExportError
from convert.lm import describe
from convert.lm_check import TOLERANCES, LogitsError, checked, mixed_prompt, reference_logits
from convert.quantised import Group
from convert.quantised_forms import WEIGHT
from convert.reference import transformers_config
from convert.safetensors_writer import STORED_TYPES, SafetensorsWriter, TensorSpec
from convert.shards import SINGLE_FILE
from runtime.engine.types import ModelDescription

# Of the file. vLLM rounds to fp8 itself, as it loads.
FLOAT_TYPES = {"bf16": torch.bfloat16, "fp32": torch.float32, "fp8": torch.bfloat16}
_EXACT = (0.0, 0.0)  # of a type that holds the stored values
# A layer's matrices; those in one line become one in vLLM.
_JOINED = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    *((f"{mlp}.gate_proj", f"{mlp}.up_proj") for mlp in ("mlp", "audio_mlp")),
    *((f"{mlp}.down_proj",) for mlp in ("mlp", "audio_mlp")),
)


def export(checkpoint: Checkpoint, directory: Path, precision: str = "bf16", max_positions: int = 4096) -> None:
    """Write config.json, model.safetensors and lm.json into `directory`.

    `max_positions` limits prompt plus generated columns of one stream: vLLM's rotary table is that long.
    """
    directory.mkdir(parents=True, exist_ok=True)
    dtype, layout = FLOAT_TYPES[precision], checkpoint.config.layout
    kept = _kept(checkpoint)
    tensors = list(_tensors(checkpoint, kept, dtype))
    with SafetensorsWriter(directory / SINGLE_FILE, [spec for spec, _ in tensors]) as writer:
        for spec, read in tqdm(tensors, desc="language model", unit="tensor", disable=len(tensors) < 512):
            writer.add(spec.name, read(spec.name).to(spec.dtype))
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
    if checkpoint.quantisation:
        plain = [module for layer in _layers(checkpoint) for module in layer if module not in kept]
        config.update({"quantization_config": checkpoint.quantisation.for_vllm(kept, plain)})
    config.save_pretrained(directory)
    describe(checkpoint.config, max_positions).write(directory / ModelDescription.FILE)


def compare(checkpoint: Checkpoint, directory: Path, precision: str) -> LogitsError:
    """Run a mixed prompt through transformers' layers with the written weights and with the checkpoint's own; quantised
    ones as the values they stand for.

    Raises ExportError when the logits differ at all, although the type holds the stored values, or by more than bf16
    may move them, where it does not. What vLLM makes of the weights is compared by tests/vllm.
    """
    segments = mixed_prompt(checkpoint)
    written = Checkpoint.open(directory, quantised=True)
    if written.config.layout != checkpoint.config.layout:
        raise ExportError(f"{directory} has another layout of codes than the checkpoint")
    expected, actual = (reference_logits(one, segments) for one in (checkpoint, written))
    if precision == "fp32" or _rounded_types(checkpoint) == {"BF16"}:
        return checked(actual, expected, precision, _EXACT)
    return checked(actual, expected, precision, TOLERANCES["bf16"])


def _layers(checkpoint: Checkpoint) -> Iterator[list[str]]:
    """The matrices that vLLM joins, by their modules' names, together."""
    for i in range(checkpoint.config.num_layers):
        for parts in _JOINED:
            yield [f"model.layers.{i}.{part}" for part in parts]


def _kept(checkpoint: Checkpoint) -> dict[str, Group]:
    """The matrices that stay in the form in which they are stored: those whose neighbours have the same."""
    kept: dict[str, Group] = {}
    for modules in _layers(checkpoint):
        first, *others = (checkpoint.group(f"{module}.{WEIGHT}") for module in modules)
        if first is not None and all(other is first for other in others):
            kept |= dict.fromkeys(modules, first)
    return kept


def _tensors(
    checkpoint: Checkpoint, kept: Mapping[str, Group], dtype: torch.dtype
) -> Iterator[tuple[TensorSpec, Callable[[str], torch.Tensor]]]:
    """What the file holds, and what reads it by its name."""
    for name, shape in required_shapes(checkpoint.config).items():
        if (module := name.removesuffix(f".{WEIGHT}")) not in kept:
            yield TensorSpec(name, shape, dtype), checkpoint.tensor
            continue
        for end, part in kept[module].form.parts(shape).items():
            if (held := checkpoint.held(f"{module}.{end}")) is not None:
                its = dtype if part.rounded else STORED_TYPES[held.dtype]
                yield TensorSpec(f"{module}.{end}", held.shape, its), checkpoint.stored


def _rounded_types(checkpoint: Checkpoint) -> set[str]:
    """As they are stored, the types of all that is written in another, of safetensors' names."""
    kept, types = _kept(checkpoint), set[str]()
    for name, shape in required_shapes(checkpoint.config).items():
        if (module := name.removesuffix(f".{WEIGHT}")) not in kept:
            types |= checkpoint.dtypes(name)
            continue
        for end, part in kept[module].form.parts(shape).items():
            if part.rounded and (held := checkpoint.held(f"{module}.{end}")) is not None:
                types.add(held.dtype)
    return types
