"""The language model's one graph on a CPU: to check an export, and to test everything around its execution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch

from runtime.engine.inflight.graph_executor import Binding, GraphLimits, address
from runtime.formats.errors import ModelLoadingError


class OnnxExecutor:
    """The graph on ONNX Runtime's CPU provider.

    Args:
        path: the ONNX file; its cache inputs must be float32 or float16, which is what ONNX Runtime computes with.
        limits: the largest shapes it will be used with; the graph itself has no limits.
        optimize: False leaves weights in the file (mapped into memory) for graphs that are too large to rearrange.

    Raises:
        ModelLoadingError: ONNX Runtime cannot load the file.
    """

    def __init__(self, path: Path, limits: GraphLimits, threads: int = 0, optimize: bool = True) -> None:
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
        """The dtype of the past inputs."""
        return {"tensor(float)": torch.float32, "tensor(float16)": torch.float16}[self._inputs["past_key_0"]]

    def execute(self, binding: Binding) -> None:
        """Run on the memory the binding names. Raises ValueError for a tensor that is not contiguous."""
        bound = self._session.io_binding()
        for name in (*self._inputs, *self._outputs):
            tensor = binding.tensors[name]
            if not tensor.is_contiguous():
                raise ValueError(f"{name} is not contiguous: {tuple(tensor.shape)} with strides {tensor.stride()}")
            dtype = np.dtype(str(tensor.dtype).removeprefix("torch."))
            bind = bound.bind_input if name in self._inputs else bound.bind_output
            bind(name, "cpu", 0, dtype, tuple(tensor.shape), address(tensor))
        self._session.run_with_iobinding(bound)
