"""A stand-in for a deserialised TensorRT-RTX engine: its API as far as we call it, ONNX Runtime behind it.

It is as strict as the real one is said to be: shapes within the active profile, every tensor's address set, working
memory given. `test_rtx_executor` compares its names and arguments with the real library's.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime

from build.onnx_compiler import Profile

WORKING_MEMORY = 1 << 20


class TensorIOMode(Enum):
    INPUT = 1
    OUTPUT = 2


class ExecutionContextAllocationStrategy(Enum):
    STATIC = 0
    USER_MANAGED = 2


MODULE = SimpleNamespace(
    TensorIOMode=TensorIOMode, ExecutionContextAllocationStrategy=ExecutionContextAllocationStrategy
)


@dataclass(frozen=True)
class _Tensor:
    mode: TensorIOMode
    dtype: np.dtype
    shape: list[int | str]


class Engine:
    """`ICudaEngine` of an ONNX file, as if compiled with these profiles."""

    device_memory_size_v2 = WORKING_MEMORY

    def __init__(self, onnx: Path, profiles: list[Profile]) -> None:
        self._session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
        self._profiles = profiles
        types = {"float": np.dtype(np.float32), "int64": np.dtype(np.int64), "int32": np.dtype(np.int32)}
        self._tensors = {
            value.name: _Tensor(mode, types[value.type[7:-1]], value.shape)
            for mode, values in (
                (TensorIOMode.INPUT, self._session.get_inputs()),
                (TensorIOMode.OUTPUT, self._session.get_outputs()),
            )
            for value in values
        }
        self.num_io_tensors = len(self._tensors)
        self.num_optimization_profiles = len(profiles)

    def get_tensor_name(self, index: int) -> str:
        return list(self._tensors)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return self._tensors[name].mode

    def get_tensor_dtype(self, name: str) -> Any:
        return SimpleNamespace(name=self._tensors[name].dtype.name.upper().replace("FLOAT32", "FLOAT"))

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        profile = self._profiles[profile_index]
        return [
            tuple(
                size if isinstance(size, int) else getattr(profile[size], bound) for size in self._tensors[name].shape
            )
            for bound in ("lowest", "typical", "largest")
        ]

    def create_execution_context(self, strategy: ExecutionContextAllocationStrategy) -> Context:
        return Context(self, WORKING_MEMORY if strategy is ExecutionContextAllocationStrategy.STATIC else 0)


class Context:
    """`IExecutionContext`."""

    def __init__(self, engine: Engine, memory: int) -> None:
        self._engine, self._memory = engine, memory
        self._profile: int | None = 0 if engine.num_optimization_profiles == 1 else None
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self.calls: list[str] = []  # the stand-in's own: what was asked of it, for the tests

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        self._profile = profile_index
        return 0 <= profile_index < self._engine.num_optimization_profiles

    def set_device_memory(self, memory: int, size: int) -> None:
        assert memory
        self._memory = size

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.calls.append(f"shape {name}")
        assert self._engine.get_tensor_mode(name) is TensorIOMode.INPUT and self._profile is not None
        low, _, high = self._engine.get_tensor_profile_shape(name, self._profile)
        self._shapes[name] = shape
        return len(shape) == len(low) and all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True))

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        tensor = self._engine._tensors[name]
        if tensor.mode is TensorIOMode.INPUT:
            return self._shapes[name]
        sizes = self._sizes()
        return tuple(axis if isinstance(axis, int) else sizes[axis] for axis in tensor.shape)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.calls.append(f"address {name}")
        self._addresses[name] = memory
        return memory != 0 and name in self._engine._tensors

    def execute_async_v3(self, stream_handle: int) -> bool:
        self.calls.append("execute")
        assert self._memory >= WORKING_MEMORY, "no working memory was given"
        bound = self._engine._session.io_binding()
        for name, tensor in self._engine._tensors.items():
            bind = bound.bind_input if tensor.mode is TensorIOMode.INPUT else bound.bind_output
            bind(name, "cpu", 0, tensor.dtype, self.get_tensor_shape(name), self._addresses[name])
        self._engine._session.run_with_iobinding(bound)
        return True

    def _sizes(self) -> dict[str, int]:
        """Of every named axis, and of what follows from them such as 960*frames - 19200; inputs must agree."""
        sizes: dict[str, int] = {}
        for name, shape in self._shapes.items():
            for axis, size in zip(self._engine._tensors[name].shape, shape, strict=True):
                assert sizes.setdefault(str(axis), size) == size, f"{axis} is {size} in {name}, {json.dumps(sizes)}"
        for tensor in self._engine._tensors.values():
            for axis in tensor.shape:
                match = re.fullmatch(r"(\d+)\*(\w+)(?: - (\d+))?", str(axis))
                if match and match[2] in sizes:
                    sizes[str(axis)] = int(match[1]) * sizes[match[2]] - int(match[3] or 0)
        return sizes
