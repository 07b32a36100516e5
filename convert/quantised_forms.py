"""Weights that a checkpoint holds in few bits already: the tensors that stand for a matrix, and the values they mean.

Read are AWQ (4 bits, AutoAWQ's "gemm" order), GPTQ (symmetric, 4 or 8 bits), compressed-tensors (integers of 4 or 8
bits, packed; int8; e4m3) and fp8 (e4m3): what vLLM runs in dense layers and whose definition fits here. How activations
are rounded on their way is vLLM's matter.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch

Shape = tuple[int, ...]
Parts = Mapping[str, torch.Tensor]

WEIGHT = "weight"
KINDS = ("int4", "int8 in groups", "int8", "int8 with one scale", "e4m3", "e4m3 with one scale", "e4m3 in blocks")
FLOATS = ("F16", "BF16", "F32")
_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)  # the column of each of the eight numbers in an int32, the lowest first


@dataclass(frozen=True)
class Part:
    """One of the tensors that stand for a matrix: the shapes and dtypes, of safetensors' names, that it may have.
    `rounded`: vLLM holds it in the type that it computes in."""

    shapes: tuple[Shape, ...]
    dtypes: tuple[str, ...]
    rounded: bool = False
    optional: bool = False


class Form(ABC):
    """How a matrix [out, in] is stored."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """What numbers there are: an engine runs all of a kind, or none."""

    @abstractmethod
    def parts(self, shape: Shape) -> dict[str, Part]:
        """What is stored in place of `weight`, by the ends of the tensors' names. Raises ValueError for a matrix whose
        sides do not divide."""

    @abstractmethod
    def values(self, parts: Parts) -> torch.Tensor:
        """What it stands for, float32 [out, in]. Raises ValueError for an order that vLLM does not read."""


@dataclass(frozen=True)
class _Grouped(Form):
    """Integers that share a scale in groups along the input; `group` 0: a whole row of inputs."""

    bits: int
    group: int

    @property
    def kind(self) -> str:
        return "int4" if self.bits == 4 else "int8 in groups"

    def _sides(self, shape: Shape) -> tuple[int, int, int, int]:
        """Outputs, inputs, groups, and numbers in an int32."""
        outputs, inputs = shape
        per_word = 32 // self.bits
        if outputs % per_word or inputs % per_word or inputs % (self.group or inputs):
            raise ValueError(f"its sides {list(shape)} do not divide by {per_word} and by groups of {self.group}")
        return outputs, inputs, inputs // (self.group or inputs), per_word


class Awq(_Grouped):
    """q, z [in, out], eight columns in an int32; (q - z) · scale."""

    def parts(self, shape: Shape) -> dict[str, Part]:
        outputs, inputs, groups, per_word = self._sides(shape)
        return {
            "qweight": Part(((inputs, outputs // per_word),), ("I32",)),
            "qzeros": Part(((groups, outputs // per_word),), ("I32",)),
            "scales": Part(((groups, outputs),), FLOATS, rounded=True),
        }

    def values(self, parts: Parts) -> torch.Tensor:
        numbers, zeros = (_in_awq_order(_unpacked(parts[name], self.bits, 1)) for name in ("qweight", "qzeros"))
        return _scaled(numbers, zeros, parts["scales"]).T


class Gptq(_Grouped):
    """q [in, out], packed along the input; (q - half) · scale. Its zeros say the same and are not read."""

    def parts(self, shape: Shape) -> dict[str, Part]:
        outputs, inputs, groups, per_word = self._sides(shape)
        return {
            "qweight": Part(((inputs // per_word, outputs),), ("I32",)),
            "qzeros": Part(((groups, outputs // per_word),), ("I32",)),
            "scales": Part(((groups, outputs),), FLOATS, rounded=True),
            "g_idx": Part(((inputs,),), ("I32", "I64"), optional=True),
        }

    def values(self, parts: Parts) -> torch.Tensor:
        numbers, scales = _unpacked(parts["qweight"], self.bits, 0), parts["scales"]
        if "g_idx" in parts:
            groups = torch.arange(len(numbers)) // (len(numbers) // len(scales))
            if not torch.equal(parts["g_idx"].long(), groups):
                raise ValueError("its inputs are in the order of their activations (g_idx), which vLLM does not read")
        half = torch.full_like(scales, 1 << (self.bits - 1), dtype=torch.int32)
        return _scaled(numbers, half, scales).T


@dataclass(frozen=True)
class Packed(_Grouped):
    """compressed-tensors' "pack-quantized": q [out, in], packed along the input; zeros along the output."""

    symmetric: bool

    def parts(self, shape: Shape) -> dict[str, Part]:
        outputs, inputs, groups, per_word = self._sides(shape)
        zeros = {} if self.symmetric else {"weight_zero_point": Part(((outputs // per_word, groups),), ("I32",))}
        return {
            "weight_packed": Part(((outputs, inputs // per_word),), ("I32",)),
            "weight_scale": Part(((outputs, groups),), FLOATS, rounded=True),
            "weight_shape": Part(((2,),), ("I64", "I32")),
        } | zeros

    def values(self, parts: Parts) -> torch.Tensor:
        numbers, scales = _unpacked(parts["weight_packed"], self.bits, 1), parts["weight_scale"]
        if self.symmetric:
            zeros = torch.full_like(scales, 1 << (self.bits - 1), dtype=torch.int32)
        else:
            zeros = _unpacked(parts["weight_zero_point"], self.bits, 0)
        return _scaled(numbers.T, zeros.T, scales.T).T


@dataclass(frozen=True)
class EightBits(Form):
    """A byte a weight, int8 or e4m3. `block`: the sides that share a scale; 0: the whole side."""

    dtype: str
    block: tuple[int, int]
    scale: str = "weight_scale"
    static: bool = False  # what it is multiplied with is rounded by a scale of the file's

    @property
    def kind(self) -> str:
        number = "int8" if self.dtype == "I8" else "e4m3"
        return number + {(0, 0): " with one scale", (1, 0): ""}.get(self.block, " in blocks")

    def parts(self, shape: Shape) -> dict[str, Part]:
        scales = tuple(-(-side // (size or side)) for side, size in zip(shape, self.block, strict=True))
        return {
            WEIGHT: Part((shape,), (self.dtype,)),
            self.scale: Part(((), (1,)) if self.block == (0, 0) else (scales,), FLOATS),
            "input_scale": Part(((), (1,)), FLOATS, optional=not self.static),
            "input_zero_point": Part(((), (1,)), ("I8",), optional=True),
        }

    def values(self, parts: Parts) -> torch.Tensor:
        numbers, scales = parts[WEIGHT].float(), parts[self.scale].float()
        for dim, size in enumerate(self.block):
            if size > 1:
                scales = scales.repeat_interleave(size, dim).narrow(dim, 0, numbers.shape[dim])
        return numbers * scales


def _unpacked(words: torch.Tensor, bits: int, dim: int) -> torch.Tensor:
    """The numbers in int32 words, along `dim`, the lowest first: int32, `32 / bits` times as long."""
    numbers = [(words >> shift) & ((1 << bits) - 1) for shift in range(0, 32, bits)]
    return torch.stack(numbers, dim + 1).flatten(dim, dim + 1)


def _in_awq_order(numbers: torch.Tensor) -> torch.Tensor:
    places = torch.tensor(_AWQ_ORDER).argsort()
    return numbers.unflatten(1, (-1, len(places)))[:, :, places].flatten(1)


def _scaled(numbers: torch.Tensor, zeros: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Of numbers [in, out] with zeros and scales [groups, out]: float32 [in, out]."""
    each = len(numbers) // len(scales)
    return (numbers - zeros.repeat_interleave(each, 0)) * scales.float().repeat_interleave(each, 0)
