"""Writes one safetensors file tensor by tensor: first the header, from names and shapes alone, then the values."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import torch

_NAMES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.int8: "I8",
    torch.int32: "I32",
    torch.int64: "I64",
    torch.bool: "BOOL",
}
STORED_TYPES = {name: dtype for dtype, name in _NAMES.items()}
_ALIGNMENT = 8  # of the data, so that readers may map it


@dataclass(frozen=True)
class TensorSpec:
    """A tensor to write: what is known before its values."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def num_bytes(self) -> int:
        return torch.Size(self.shape).numel() * self.dtype.itemsize


class SafetensorsWriter:
    """Use as a context manager; `add` every tensor of `specs`, once and in that order."""

    def __init__(self, path: Path, specs: Sequence[TensorSpec]) -> None:
        self._path, self._specs = path, specs
        self._next = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> SafetensorsWriter:
        self._file = self._path.open("wb")
        self._file.write(header(self._specs))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        self._file.close()
        if kind is None and self._next != len(self._specs):
            raise ValueError(f"{self._path.name} ends before {self._specs[self._next].name}")

    def add(self, name: str, tensor: torch.Tensor) -> None:
        """Append the values of the next tensor, which can be forgotten afterwards.

        Raises ValueError when it is not the tensor that was announced: another name, shape or dtype.
        """
        assert self._file is not None, "the file is open only inside its with block"
        spec = self._specs[self._next]
        found = TensorSpec(name, tuple(tensor.shape), tensor.dtype)
        if found != spec:
            raise ValueError(f"{self._path.name} announces {spec}, and was given {found}")
        self._file.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
        self._next += 1


def header(specs: Sequence[TensorSpec]) -> bytes:
    """The file's header; the tensors' bytes follow it in the order of `specs`."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for spec in specs:
        entries[spec.name] = {
            "dtype": _NAMES[spec.dtype],
            "shape": list(spec.shape),
            "data_offsets": [offset, offset + spec.num_bytes],
        }
        offset += spec.num_bytes
    encoded = json.dumps(entries, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % _ALIGNMENT)
    return struct.pack("<Q", len(encoded)) + encoded
