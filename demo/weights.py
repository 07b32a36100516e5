"""Writes tensors into one safetensors file, or into shards with an index, one tensor in memory at a time."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from convert.safetensors_writer import SafetensorsWriter, TensorSpec, header
from demo.tokenizer import write_json


def write_weights(
    directory: Path,
    specs: Sequence[TensorSpec],
    values: Callable[[TensorSpec], torch.Tensor] | None,
    max_shard_bytes: int,
) -> None:
    """Writes model.safetensors, or shards of at most `max_shard_bytes` with model.safetensors.index.json.

    `values` is called once per tensor, in the order of `specs`; without it the files are as long as they would be and
    hold no data, which takes next to no room on disk. A tensor larger than a shard gets one of its own.
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


def _write_file(file: Path, specs: Sequence[TensorSpec], values: Callable[[TensorSpec], torch.Tensor] | None) -> None:
    if values is None:
        start = header(specs)
        with file.open("wb") as stream:
            stream.write(start)
            stream.truncate(len(start) + sum(spec.num_bytes for spec in specs))
        return
    with SafetensorsWriter(file, specs) as writer:
        for spec in specs:
            writer.add(spec.name, values(spec).to(spec.dtype))
