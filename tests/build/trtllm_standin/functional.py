"""Tensors and functions: torch values under TensorRT-LLM's names, with the type rules of a strongly typed network."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import torch

from tests.build.trtllm_standin.network import default_net

OFFERED = (
    "Tensor",
    "arange",
    "cast",
    "constant",
    "embedding",
    "gather_last_token_logits",
    "shape",
    "sum",
    "unsqueeze",
    "where",
)
DTYPES = {
    "bool": torch.bool,
    "int32": torch.int32,
    "int64": torch.int64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "fp8": torch.float8_e4m3fn,
}


class Tensor:
    """A network input when constructed, as in TensorRT-LLM; `of` wraps a computed value."""

    def __init__(
        self,
        name: str | None = None,
        dtype: str | None = None,
        shape: list[int] | None = None,
        dim_range: OrderedDict[str, list[Any]] | None = None,
        is_network_input: bool = True,
        location: object = None,
        network: object = None,
        trt_tensor: object = None,
    ) -> None:
        assert is_network_input, "computed tensors come from functions"
        assert name is not None and dtype is not None and shape is not None
        assert isinstance(dim_range, OrderedDict), f"{name}: dim_range must be an OrderedDict"
        assert len(dim_range) == len(shape), f"{name}: a range for each dimension"
        counts = {len(ranges) for ranges in dim_range.values()}
        assert len(counts) == 1, f"{name}: as many profiles in each dimension"
        self.profiles = [None] * counts.pop()
        net = default_net()
        assert name not in net.declared, f"{name} is declared twice"
        net.declared.append(name)
        value = net.feed[name]
        assert value.dtype == DTYPES[dtype], f"{name} is {value.dtype}, declared {dtype}"
        assert value.dim() == len(shape), f"{name} has shape {tuple(value.shape)}, declared {shape}"
        for size, declared, ranges in zip(value.shape, shape, dim_range.values(), strict=True):
            assert declared in (-1, size), f"{name} has shape {tuple(value.shape)}, declared {shape}"
            low, _, high = (ranges[0],) * 3 if isinstance(ranges[0], int) else ranges[0]
            assert low <= size <= high, f"{name}: {size} lies outside its profile {ranges[0]}"
        self.value = value

    @classmethod
    def of(cls, value: torch.Tensor) -> Tensor:
        tensor = cls.__new__(cls)
        tensor.value = value
        return tensor

    @property
    def dtype(self) -> torch.dtype:
        return self.value.dtype

    def ndim(self) -> int:
        return self.value.dim()

    def mark_output(self, name: str | None = None, dtype: str | None = None) -> None:
        assert name is not None and dtype is not None
        default_net().outputs[name] = self.value.to(DTYPES[dtype])

    def __add__(self, b: Tensor | float) -> Tensor:
        return _elementwise(torch.add, self, b)

    def __sub__(self, b: Tensor | float) -> Tensor:
        return _elementwise(torch.sub, self, b)

    def __mul__(self, b: Tensor | float) -> Tensor:
        return _elementwise(torch.mul, self, b)

    def __lt__(self, b: Tensor | float) -> Tensor:
        return _elementwise(torch.lt, self, b)

    def __gt__(self, b: Tensor | float) -> Tensor:
        return _elementwise(torch.gt, self, b)

    def __bool__(self) -> bool:
        raise TypeError("a tensor of a network being built has no truth value")


def _elementwise(operation: Any, left: Tensor, right: Tensor | float) -> Tensor:
    """Numbers take the tensor's type; tensors must agree in type; the smaller rank is filled up from the left."""
    if not isinstance(right, Tensor):
        right = Tensor.of(torch.tensor([right], dtype=left.dtype))
    assert left.dtype == right.dtype, f"{operation.__name__} of {left.dtype} and {right.dtype}"
    return Tensor.of(operation(left.value, right.value))


def arange(start: Tensor | int, end: Tensor | int, dtype: str) -> Tensor:
    assert isinstance(start, Tensor) and isinstance(end, Tensor), "here: both tensors"
    assert start.ndim() == end.ndim() == 0
    assert start.dtype == end.dtype == DTYPES[dtype]
    return Tensor.of(torch.arange(int(start.value), int(end.value), dtype=DTYPES[dtype]))


def cast(input: Tensor, dtype: str) -> Tensor:
    return Tensor.of(input.value.to(DTYPES[dtype]))


def constant(ndarray: np.ndarray, as_dtype: object = None, as_shape: object = None) -> Tensor:
    return Tensor.of(torch.from_numpy(np.array(ndarray)))


def embedding(
    input: Tensor,
    weight: Tensor,
    tp_size: int = 1,
    tp_group: object = None,
    sharding_dim: int = 0,
    tp_rank: int | None = None,
    per_token_scale: object = None,
    padding: object = None,
) -> Tensor:
    """A GPU would read whatever lies there when an index is out of range; here it is an error."""
    assert input.dtype in (torch.int32, torch.int64)
    assert int(input.value.min()) >= 0 and int(input.value.max()) < len(weight.value), "an index out of range"
    return Tensor.of(weight.value[input.value.long()])


def gather_last_token_logits(hidden_states: Tensor, last_token_ids: Tensor, remove_input_padding: bool) -> Tensor:
    assert remove_input_padding, "here: packed tokens"
    return Tensor.of(hidden_states.value[last_token_ids.value.long() - 1])


def shape(
    input: Tensor, dim: int | None = None, cast_to_dtype: str | None = None, clip_before_cast: object = None
) -> Tensor:
    sizes = torch.tensor(input.value.shape if dim is None else input.value.shape[dim])
    return Tensor.of(sizes if cast_to_dtype is None else sizes.to(DTYPES[cast_to_dtype]))


def sum(input: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    assert input.dtype != torch.bool, "a reduction needs numbers"
    return Tensor.of(input.value.sum(dim, keepdim=keepdim, dtype=input.dtype))


def unsqueeze(input: Tensor, axis: int) -> Tensor:
    return Tensor.of(input.value.unsqueeze(axis))


def where(condition: Tensor | bool, left: Tensor | float, right: Tensor | float) -> Tensor:
    """Numbers become int32 or float32, whatever the other side is; both sides must then agree."""
    assert isinstance(condition, Tensor) and condition.dtype == torch.bool
    sides = [
        side.value
        if isinstance(side, Tensor)
        else torch.tensor([side], dtype=torch.int32 if isinstance(side, int) else torch.float32)
        for side in (left, right)
    ]
    assert sides[0].dtype == sides[1].dtype, f"where of {sides[0].dtype} and {sides[1].dtype}"
    rank = max(side.dim() for side in (condition.value, *sides))
    for side in (condition.value, *sides):
        assert side.dim() == rank or side.numel() == 1, "here: ranks are filled up for numbers only"
    return Tensor.of(torch.where(condition.value, *sides))
