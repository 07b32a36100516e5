"""Writes tensors into one safetensors file, or into shards with an index, one tensor in memory at a time."""

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from demo.tokenizer import write_json

SAFETENSORS_NAMES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.bool: "BOOL",
}


@dataclass(frozen=True)
class TensorSpec:
    """A tensor to be written: what is known of it before its values."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def num_bytes(self) -> int:
        return torch.Size(self.shape).numel() * self.dtype.itemsize


def write_weights(
    directory: Path,
    specs: Sequence[TensorSpec],
    values: Callable[[TensorSpec], torch.Tensor],
    max_shard_bytes: int,
) -> None:
    """Writes model.safetensors, or shards of at most `max_shard_bytes` with model.safetensors.index.json.

    `values` is called once per tensor, in the order of `specs`. A tensor larger than a shard gets one of its own.
    """
    shards: list[list[TensorSpec]] = [[]]
    for spec in specs:
        if shards[-1] and sum(member.num_bytes for member in shards[-1]) + spec.num_bytes > max_shard_bytes:
            shards.append([])
        shards[-1].append(spec)
    if len(shards) == 1:
        _write_file(directory / "model.safetensors", specs, values)
        return
    weight_map: dict[str, str] = {}
    for number, members in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        _write_file(directory / file, members, values)
        weight_map |= {spec.name: file for spec in members}
    total = sum(spec.num_bytes for spec in specs)
    write_json(
        directory / "model.safetensors.index.json",
        {"metadata": {"total_size": total}, "weight_map": weight_map},
    )


def _write_file(file: Path, specs: Sequence[TensorSpec], values: Callable[[TensorSpec], torch.Tensor]) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for spec in specs:
        header[spec.name] = {
            "dtype": SAFETENSORS_NAMES[spec.dtype],
            "shape": list(spec.shape),
            "data_offsets": [offset, offset + spec.num_bytes],
        }
        offset += spec.num_bytes
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)  # the format aligns the data to 8 bytes
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(encoded)) + encoded)
        for spec in specs:
            tensor = values(spec).to(spec.dtype).contiguous()
            stream.write(tensor.reshape(-1).view(torch.uint8).numpy().data)
