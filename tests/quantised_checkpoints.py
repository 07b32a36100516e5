"""Checkpoints in few bits, made of a checkpoint in floats as AutoAWQ, GPTQ tools and llm-compressor write them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

Parts = dict[str, torch.Tensor]
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
GROUP = 32
E4M3 = torch.float8_e4m3fn


@dataclass(frozen=True)
class Kind:
    """`store`: a matrix [out, in] as the tensors of this kind, and the values they stand for."""

    config: dict[str, Any]
    store: Callable[[torch.Tensor], tuple[Parts, torch.Tensor]] = field(repr=False)


def words(numbers: torch.Tensor, bits: int, dim: int, order: tuple[int, ...] | None = None) -> torch.Tensor:
    """Numbers of so many bits, as many in an int32 as fit, along `dim`, the first of `order` lowest."""
    count = 32 // bits
    parts = numbers.long().unflatten(dim, (-1, count)).unbind(dim + 1)
    joined = sum((parts[place] << (bits * i) for i, place in enumerate(order or range(count))), torch.tensor(0))
    return torch.where(joined >= 1 << 31, joined - (1 << 32), joined).to(torch.int32).contiguous()


def grouped(weight: torch.Tensor, bits: int, symmetric: bool, size: int = GROUP) -> tuple[torch.Tensor, ...]:
    """Numbers [in, out], from 0 on, their zeros and scales [in / size, out], and what they stand for, [out, in]."""
    groups, levels = weight.float().T.unflatten(0, (-1, size)), (1 << bits) - 1
    if symmetric:
        scales, zeros = groups.abs().amax(1) / (levels // 2), torch.full_like(groups[:, 0], (levels + 1) // 2)
    else:
        low, high = groups.amin(1).clamp(max=0), groups.amax(1).clamp(min=0)
        scales = (high - low) / levels
        zeros = (-low / scales.clamp(min=1e-9)).round()
    scales = scales.clamp(min=1e-9).bfloat16()
    wide = scales.float()[:, None]
    numbers = ((groups / wide).round() + zeros[:, None]).clamp(0, levels)
    values = ((numbers - zeros[:, None]) * wide).flatten(0, 1).T.contiguous()
    return numbers.flatten(0, 1).int(), zeros.int(), scales, values


def awq(weight: torch.Tensor) -> tuple[Parts, torch.Tensor]:
    numbers, zeros, scales, values = grouped(weight, 4, symmetric=False)
    packed = {"qweight": words(numbers, 4, 1, AWQ_ORDER), "qzeros": words(zeros, 4, 1, AWQ_ORDER)}
    return packed | {"scales": scales.contiguous()}, values


def gptq(weight: torch.Tensor, bits: int) -> tuple[Parts, torch.Tensor]:
    numbers, zeros, scales, values = grouped(weight, bits, symmetric=True)
    packed = {"qweight": words(numbers, bits, 0), "qzeros": words(zeros - 1, bits, 1), "scales": scales.contiguous()}
    return packed | {"g_idx": torch.arange(weight.shape[1], dtype=torch.int32) // GROUP}, values


def packed(weight: torch.Tensor, bits: int, symmetric: bool, size: int = GROUP) -> tuple[Parts, torch.Tensor]:
    numbers, zeros, scales, values = grouped(weight, bits, symmetric, size)
    parts = {
        "weight_packed": words(numbers.T, bits, 1),
        "weight_scale": scales.T.contiguous(),
        "weight_shape": torch.tensor(weight.shape),
    }
    return parts | ({} if symmetric else {"weight_zero_point": words(zeros.T, bits, 0)}), values


def bytewise(weight: torch.Tensor, dtype: torch.dtype, largest: float, one_scale: bool) -> tuple[Parts, torch.Tensor]:
    whole = weight.float().abs()
    scales = (whole.max()[None] if one_scale else whole.amax(1, keepdim=True)).clamp(min=1e-9) / largest
    numbers = (weight.float() / scales).clamp(-largest, largest)
    stored = (numbers.round() if dtype == torch.int8 else numbers).to(dtype)
    return {"weight": stored, "weight_scale": scales}, stored.float() * scales


def blockwise(weight: torch.Tensor, block: int) -> tuple[Parts, torch.Tensor]:
    outputs, inputs = weight.shape
    rows, columns = -(-outputs // block), -(-inputs // block)
    room = torch.zeros(rows * block, columns * block)
    room[:outputs, :inputs] = weight.float()
    scales = (room.unflatten(1, (-1, block)).unflatten(0, (-1, block)).abs().amax((1, 3)) / 448).clamp(min=1e-9)
    wide = scales.repeat_interleave(block, 0).repeat_interleave(block, 1)[:outputs, :inputs]
    stored = (weight.float() / wide).to(E4M3)
    return {"weight": stored, "weight_scale_inv": scales}, stored.float() * wide


def compressed(layout: str, weights: dict[str, Any], activations: dict[str, Any] | None = None) -> dict[str, Any]:
    group = {"targets": ["Linear"], "weights": weights, "input_activations": activations, "output_activations": None}
    return {"quant_method": "compressed-tensors", "format": layout, "config_groups": {"group_0": group}, "ignore": []}


_INT, _TOKEN = (
    {"type": "int", "dynamic": False},
    {"num_bits": 8, "strategy": "token", "symmetric": True, "dynamic": True},
)
_BY_GROUP = _INT | {"strategy": "group", "group_size": GROUP}
KINDS = {
    "awq": Kind({"quant_method": "awq", "bits": 4, "group_size": GROUP, "zero_point": True, "version": "gemm"}, awq),
    **{
        f"gptq of {bits} bits": Kind(
            {"quant_method": "gptq", "bits": bits, "group_size": GROUP, "sym": True, "desc_act": False},
            lambda weight, bits=bits: gptq(weight, bits),  # type: ignore[misc]
        )
        for bits in (4, 8)
    },
    **{
        f"packed {bits} bits, {'even' if symmetric else 'with zeros'}": Kind(
            compressed("pack-quantized", _BY_GROUP | {"num_bits": bits, "symmetric": symmetric}),
            lambda weight, bits=bits, symmetric=symmetric: packed(weight, bits, symmetric),  # type: ignore[misc]
        )
        for bits in (4, 8)
        for symmetric in (True, False)
    },
    "packed 4 bits, one scale an output": Kind(
        compressed("pack-quantized", _INT | {"num_bits": 4, "symmetric": True, "strategy": "channel"}),
        lambda weight: packed(weight, 4, True, weight.shape[1]),
    ),
    **{
        f"{name}{' with one scale' if one_scale else ''}": Kind(
            compressed(
                f"{number}-quantized",
                {
                    "type": number,
                    "num_bits": 8,
                    "symmetric": True,
                    "strategy": "tensor" if one_scale else "channel",
                    "dynamic": False,
                },
                _TOKEN | {"type": number},
            ),
            lambda weight, dtype=dtype, largest=largest, one_scale=one_scale: bytewise(  # type: ignore[misc]
                weight, dtype, largest, one_scale
            ),
        )
        for name, number, dtype, largest in (("int8", "int", torch.int8, 127), ("e4m3", "float", E4M3, 448))
        for one_scale in (False, True)
    },
    "fp8": Kind({"quant_method": "fp8", "activation_scheme": "dynamic"}, lambda w: bytewise(w, E4M3, 448, True)),
    "fp8 in blocks": Kind(
        {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]},
        lambda weight: blockwise(weight, 128),
    ),
}


def of_a_layer(name: str) -> bool:
    """What quantising tools quantise where nobody asks for more."""
    return name.endswith("_proj.weight")


def quantise(
    source: Path, kind: Kind, folder: Path, which: Callable[[str], bool] = of_a_layer, **config: Any
) -> tuple[Path, Path]:
    """Two checkpoints made of the one in `source`: `folder/few`, whose matrices of such names are of that kind, and
    `folder/plain`, with the values they stand for in float32. `config`: more of what the configuration says."""
    few, plain = folder / "few", folder / "plain"
    for copy in (few, plain):
        shutil.copytree(source, copy)
    weights, stored = load_file(source / "model.safetensors"), dict[str, torch.Tensor]()
    for name, weight in list(weights.items()):
        if not which(name):
            stored[name] = weight
            continue
        parts, weights[name] = kind.store(weight)
        stored |= {f"{name.removesuffix('weight')}{end}": tensor.contiguous() for end, tensor in parts.items()}
    save_file(stored, few / "model.safetensors")
    save_file({name: weight.float().contiguous() for name, weight in weights.items()}, plain / "model.safetensors")
    written = json.loads((few / "config.json").read_text()) | {"quantization_config": kind.config | config}
    (few / "config.json").write_text(json.dumps(written))
    return few, plain
