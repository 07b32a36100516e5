"""What a checkpoint says of weights that it holds in few bits already, and what vLLM is told of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from convert.errors import ModelLoadingError
from convert.json_values import JsonValues
from convert.quantised_forms import Awq, EightBits, Form, Gptq, Packed

KEYS = ("quantization_config", "compression_config")  # the second is compressed-tensors' old name


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
