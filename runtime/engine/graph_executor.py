"""Running a compiled graph on tensors that stay where they are: the one thing that needs the graph's own hardware.

`RtxRunner` knows the language model's graph and keeps its cache; what runs the graph is one of these. `OnnxExecutor`
runs it on the CPU, to check an export and to test everything around the execution; `rtx_executor.RtxExecutor` runs the
engine compiled from the same file on a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from runtime.formats.errors import ModelLoadingError

# The shapes a graph is compiled for, in the order of the engine's optimization profiles: each kind of call reads one
# modality, so that the compiler knows the other feed-forward network idle.
DECODE, TEXT, AUDIO = "decode", "text", "audio"
PROFILES = (DECODE, TEXT, AUDIO)


@dataclass(frozen=True)
class GraphLimits:
    """The largest shapes a graph takes: rows of a decode step, positions of a prefill call and of the past."""

    max_rows: int
    max_prefill: int
    max_past: int


@dataclass(frozen=True, eq=False)
class Binding:
    """Where a call's inputs and outputs lie, by the graph's names. Bound once, it can be executed many times."""

    profile: str
    tensors: Mapping[str, torch.Tensor]


class GraphExecutor(Protocol):
    """Executes a graph on the memory a binding names."""

    @property
    def device(self) -> torch.device: ...
    @property
    def cache_dtype(self) -> torch.dtype: ...
    @property
    def limits(self) -> GraphLimits: ...
    def execute(self, binding: Binding) -> None:
        """Run the graph; its outputs are in place for whatever the caller does next on its current stream."""
        ...


def address(tensor: torch.Tensor) -> int:
    """Where a tensor's memory begins: also an empty one's, which torch gives as 0 and runtimes refuse."""
    return int(tensor.untyped_storage().data_ptr() + tensor.storage_offset() * tensor.element_size())


class OnnxExecutor:
    """The graph on ONNX Runtime's CPU provider.

    Args:
        path: the ONNX file; its cache inputs must be float32 or float16, which is what ONNX Runtime computes with.
        limits: what it is to be used for; the graph itself has none.
        optimize: False leaves weights in the file (mapped into memory) for graphs that are too large to rearrange.

    Raises:
        ModelLoadingError: ONNX Runtime cannot load the file.
    """

    def __init__(self, path: Path, limits: GraphLimits, threads: int = 0, optimize: bool = True) -> None:
        import onnxruntime  # noqa: PLC0415 - on a GPU the engine runs without, and it need not be there

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        if not optimize:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.add_session_config_entry("session.disable_prepacking", "1")
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelLoadingError(f"{path} cannot be loaded by ONNX Runtime: {error}") from error
        self._inputs = {value.name: value.type for value in self._session.get_inputs()}
        self._outputs = [value.name for value in self._session.get_outputs()]
        self.limits = limits

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    @property
    def cache_dtype(self) -> torch.dtype:
        """Of the past inputs."""
        return {"tensor(float)": torch.float32, "tensor(float16)": torch.float16}[self._inputs["past_key_0"]]

    def execute(self, binding: Binding) -> None:
        """Run on the memory the binding names. Raises ValueError for a tensor that is no contiguous piece of memory."""
        bound = self._session.io_binding()
        for name in (*self._inputs, *self._outputs):
            tensor = binding.tensors[name]
            if not tensor.is_contiguous():
                raise ValueError(f"{name} is not contiguous: {tuple(tensor.shape)} with strides {tensor.stride()}")
            dtype = np.dtype(str(tensor.dtype).removeprefix("torch."))
            bind = bound.bind_input if name in self._inputs else bound.bind_output
            bind(name, "cpu", 0, dtype, tuple(tensor.shape), address(tensor))
        self._session.run_with_iobinding(bound)
