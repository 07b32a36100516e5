"""Weights that a checkpoint holds in few bits already: the tensors that stand for a matrix, and the values they mean.

Read are AWQ (4 bits, AutoAWQ's "gemm" order), GPTQ (symmetric, 4 or 8 bits), compressed-tensors (integers of 4 or 8
bits, packed; int8; e4m3) and fp8 (e4m3): what vLLM runs in dense layers and whose definition fits here. How activations
are rounded on their way is vLLM's matter.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from convert.errors import ModelLoadingError
from convert.json_values import JsonValues

Shape = tuple[int, ...]
Parts = Mapping[str, torch.Tensor]

KEYS = ("quantization_config", "compression_config")  # the second is compressed-tensors' old name
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


@dataclass(frozen=True)
class Group:
    """Matrices of one form: those that `targets` name; by compressed-tensors' rules a name, "re:" and an expression, or
    a class. `asked`: what the configuration says of them."""

    form: Form
    targets: tuple[str, ...]
    asked: Mapping[str, Any]

    def takes(self, module: str) -> bool:
        return any(
            re.match(target[3:], module) if target.startswith("re:") else target in (module, "Linear")
            for target in self.targets
        )


def configured(config: JsonValues) -> JsonValues | None:
    """What config.json says of quantised weights; None: they are numbers of 16 or 32 bits."""
    key = next((key for key in KEYS if config.has(key)), None)
    return config.nested(key) if key else None


@dataclass(frozen=True)
class Quantisation:
    """What a checkpoint's configuration says of its quantised weights."""

    method: str
    groups: tuple[Group, ...]

    @classmethod
    def read(cls, values: JsonValues) -> Quantisation:
        """From what `configured` found. Raises ModelLoadingError for what vLLM, or this module, does not read."""
        method = values.text("quant_method") if values.has("quant_method") else ""
        if method not in _READERS:
            raise ModelLoadingError(
                f"{values.where}: quant_method is {method or None!r}; {', '.join(_READERS)} can be read."
            )
        return cls(method, tuple(_READERS[method](values)))

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(group.form.kind for group in self.groups))

    def described(self) -> dict[str, Any]:
        """For the record of an export."""
        return {"method": self.method, "kinds": list(self.kinds)}

    def group(self, modules: Iterable[str]) -> Group | None:
        """The group of a matrix, by the names that it has."""
        return next((group for group in self.groups for module in modules if group.takes(module)), None)

    def for_vllm(self, kept: Mapping[str, Group], plain: Iterable[str]) -> dict[str, Any]:
        """The configuration over transformers' names: `kept` are the matrices in the form of their group, `plain` the
        layers' others."""
        told: dict[str, Any] = {"quant_method": self.method}
        if self.method == "compressed-tensors":
            groups = {}
            for i, group in enumerate(self.groups):
                if names := [module for module, its in kept.items() if its is group]:
                    groups[f"group_{i}"] = {**group.asked, "targets": names}
            formats = [group["format"] for group in groups.values()]
            return told | {"config_groups": groups, "format": formats[0] if formats else None, "ignore": []}
        told |= self.groups[0].asked
        # vLLM finds AWQ's and GPTQ's plain matrices itself, in the file.
        return told | {"ignored_layers": list(plain)} if self.method == "fp8" else told


def _awq(values: JsonValues) -> list[Group]:
    values.refuse_unless("version", "gemm", default="gemm")
    values.refuse_unless("zero_point", True, default=True)
    bits, size = _bits(values, "bits" if values.has("bits") else "w_bit", (4,)), _group(values, "q_group_size")
    return [Group(Awq(bits, size), ("Linear",), {"bits": bits, "group_size": size or -1, "zero_point": True})]


def _gptq(values: JsonValues) -> list[Group]:
    values.refuse_unless("sym", True, default=None)
    bits, size = _bits(values, "bits", (4, 8)), _group(values)
    if size:
        values.refuse_unless("desc_act", False, default=False)
    asked = {"bits": bits, "group_size": size or -1, "sym": True, "desc_act": False}
    return [Group(Gptq(bits, size), ("Linear",), asked)]


def _compressed(values: JsonValues) -> list[Group]:
    if values.values.get("transform_config"):
        raise values.wrong("transform_config", "none")
    groups, found = values.nested("config_groups"), []
    for name in groups.values:
        group = groups.nested(name)
        targets, weights = group.values.get("targets"), group.nested("weights")
        if not isinstance(targets, list) or not all(isinstance(target, str) for target in targets):
            raise group.wrong("targets", "a list of names")
        if weights.values.get("actorder") in ("group", "dynamic", True):
            raise weights.wrong("actorder", "static or null")
        layout = (group if group.has("format") else values).text("format")
        activations = group.nested("input_activations") if group.has("input_activations") else None
        static = activations is not None and not activations.values.get("dynamic")
        form = _compressed_form(layout, weights, static)
        asked = {key: value for key, value in group.values.items() if key != "targets"} | {"format": layout}
        found.append(Group(form, tuple(targets), asked))
    return found


def _compressed_form(layout: str, weights: JsonValues, static: bool) -> Form:
    symmetric = weights.values.get("symmetric", True) is not False
    kind = weights.text("type") if weights.has("type") else "int"
    if layout == "pack-quantized" and kind == "int":
        return Packed(_bits(weights, "num_bits", (4, 8)), _group(weights), symmetric)
    if layout not in ("int-quantized", "float-quantized", "naive-quantized") or kind not in ("int", "float"):
        raise ModelLoadingError(
            f"{weights.where}: {kind} weights in format {layout!r} cannot be read; int ones in pack-quantized or "
            "int-quantized can, and float ones in float-quantized."
        )
    _bits(weights, "num_bits", (8,))
    weights.refuse_unless("symmetric", True, default=True)
    dtype, strategy = "I8" if kind == "int" else "F8_E4M3", weights.text("strategy")
    blocks = {"tensor": (0, 0), "channel": (1, 0)}
    if strategy == "block" and kind == "float":
        blocks[strategy] = _block(weights, "block_structure")
    if strategy not in blocks:
        raise weights.wrong("strategy", "tensor or channel")
    return EightBits(dtype, blocks[strategy], static=static)


def _fp8(values: JsonValues) -> list[Group]:
    scheme = values.text("activation_scheme")
    if not values.has("weight_block_size"):
        form = EightBits("F8_E4M3", (0, 0), static=scheme == "static")
        return [Group(form, ("Linear",), {"activation_scheme": scheme})]
    block = _block(values, "weight_block_size")
    asked = {"activation_scheme": scheme, "weight_block_size": list(block)}
    return [Group(EightBits("F8_E4M3", block, "weight_scale_inv"), ("Linear",), asked)]


_READERS = {"awq": _awq, "gptq": _gptq, "compressed-tensors": _compressed, "fp8": _fp8}


def _bits(values: JsonValues, key: str, allowed: tuple[int, ...]) -> int:
    if values.integer(key) not in allowed:
        raise values.wrong(key, " or ".join(map(str, allowed)))
    return values.integer(key)


def _block(values: JsonValues, key: str) -> tuple[int, int]:
    sides = values.counts(key)
    if len(sides) != 2:
        raise values.wrong(key, "two sides")
    return sides[0], sides[1]


def _group(values: JsonValues, other_key: str = "group_size") -> int:
    """Weights that share a scale; 0: a whole row, which is stored as -1 or null."""
    key = "group_size" if "group_size" in values.values else other_key
    return max(0, values.optional_integer(key) or 0)


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
