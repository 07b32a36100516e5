"""Weights on disk: one or several safetensors files, opened lazily and one tensor at a time."""

import json
import struct
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open

from convert.errors import ModelLoadingError

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
MAX_HEADER_BYTES = 100_000_000  # the limit of the format's own reader


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor is stored, with its shape and dtype, known without reading it."""

    file: Path
    shape: tuple[int, ...]
    dtype: str  # safetensors' name: "BF16", "F32", …


def open_shards(directory: Path) -> dict[str, StoredTensor]:
    """Stored name -> where it lies, for every weight file in `directory`. Reads headers only.

    Raises:
        ModelLoadingError: no weights, a shard of the index is missing, cut short or not safetensors, or a tensor is
            stored twice or is missing from the shard the index names.
    """
    index, single = directory / INDEX_FILE, directory / SINGLE_FILE
    if single.is_file():  # first, as in transformers: a hub folder may still hold the shards that it replaced
        return read_header(single)
    if not index.is_file():
        raise ModelLoadingError(f"{directory} holds neither {SINGLE_FILE} nor {INDEX_FILE}.")
    weight_map = _weight_map(index)
    tensors: dict[str, StoredTensor] = {}
    for file in sorted(set(weight_map.values())):
        if not (directory / file).is_file():
            raise ModelLoadingError(f"{index} names {file}, which is missing; download the checkpoint again.")
        for name, tensor in read_header(directory / file).items():
            if name in tensors:
                raise ModelLoadingError(f"{name} is stored twice: in {tensors[name].file.name} and in {file}.")
            tensors[name] = tensor
    for name, file in weight_map.items():
        if name not in tensors or tensors[name].file.name != file:
            raise ModelLoadingError(f"{index} puts {name} into {file}, but it is not there.")
    return tensors


def _weight_map(index: Path) -> dict[str, str]:
    """Stored name -> file in the index's folder. Raises ModelLoadingError when it is damaged or names other places."""
    try:
        weight_map = json.loads(index.read_bytes())["weight_map"]
        entries = dict(weight_map.items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelLoadingError(
            f"{index} is not a safetensors index: it needs a weight_map; download it again."
        ) from error
    if not entries:
        raise ModelLoadingError(f"{index} names no weights; download it again.")
    for name, file in entries.items():
        if not isinstance(file, str) or Path(file).name != file or "\0" in file:
            raise ModelLoadingError(f"{index} puts {name} into {file!r}, which is no file of its folder.")
    return entries


def read_header(file: Path) -> dict[str, StoredTensor]:
    """The tensors of one safetensors file.

    Raises:
        ModelLoadingError: the file is not safetensors, or shorter or longer than its header says.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        prefix = stream.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else MAX_HEADER_BYTES + 1
        if length > MAX_HEADER_BYTES:
            raise ModelLoadingError(f"{file} is not a safetensors file: its first 8 bytes are no header length.")
        header_bytes = stream.read(length)
    try:
        header = json.loads(header_bytes)
        header.pop("__metadata__", None)
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        tensors = {name: StoredTensor(file, tuple(entry["shape"]), entry["dtype"]) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelLoadingError(
            f"{file} ({size} bytes) is damaged: its header of {length} bytes cannot be read; download it again."
        ) from error
    if size != 8 + length + end:
        raise ModelLoadingError(
            f"{file} is {size} bytes long where its header says {8 + length + end}; download it again."
        )
    return tensors


def read_tensor(stored: StoredTensor, name: str) -> torch.Tensor:
    """The tensor `name`, in its stored dtype, on the CPU."""
    with safe_open(stored.file, framework="pt", device="cpu") as stream:
        return stream.get_tensor(name)
