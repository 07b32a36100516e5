"""Runs a network compiled by TensorRT-RTX, with one input and one output, on the current GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from runtime.formats.errors import ModelLoadingError
from runtime.formats.tensorrt_rtx import tensorrt_rtx

_TYPES = {"FLOAT": torch.float32, "INT32": torch.int32, "INT64": torch.int64}


class RtxNetwork:
    """A deserialised engine as a function from array to array. Use it from one thread at a time.

    Args:
        module: TensorRT-RTX.
        engine: its `ICudaEngine`, with one profile.
        device: the GPU the engine lies on.
        runtime: the runtime that made the engine, which the engine must not outlive.

    Raises:
        ModelLoadingError: the engine has more than one input or output.
    """

    def __init__(self, module: Any, engine: Any, device: torch.device, runtime: Any = None) -> None:
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == module.TensorIOMode.INPUT]
        if len(names) != 2 or len(inputs) != 1:
            raise ModelLoadingError(
                f"the engine has the tensors {', '.join(names)}; it must have one input and one output"
            )
        (self._input,) = inputs
        (self._output,) = [name for name in names if name != self._input]
        self._largest = tuple(engine.get_tensor_profile_shape(self._input, 0)[2])
        self._input_type, self._output_type = (
            _TYPES[engine.get_tensor_dtype(name).name] for name in (self._input, self._output)
        )
        self._device, self._runtime, self._engine = device, runtime, engine
        self._context = engine.create_execution_context(module.ExecutionContextAllocationStrategy.STATIC)
        if self._context is None:
            raise ModelLoadingError("TensorRT-RTX cannot prepare the engine; the GPU may be out of memory")
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    @classmethod
    def load(cls, path: Path) -> RtxNetwork:
        """Open an engine file. Raises ModelLoadingError when the file, the library or a suitable GPU is missing."""
        module = tensorrt_rtx()
        if not torch.cuda.is_available():
            raise ModelLoadingError(f"{path.name} is an engine for a GPU, but torch sees none here")
        runtime = module.Runtime(module.Logger(module.Logger.WARNING))
        try:
            engine = runtime.deserialize_cuda_engine(path.read_bytes())
        except OSError as error:
            raise ModelLoadingError(f"{path} cannot be read: {error}") from error
        if engine is None:
            card = "{}.{}".format(*torch.cuda.get_device_capability())
            raise ModelLoadingError(
                f"TensorRT-RTX {module.__version__} cannot load {path} on this GPU of compute capability {card}"
            )
        return cls(module, engine, torch.device("cuda", torch.cuda.current_device()), runtime)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The network's output for `values`, which may be of any shape up to the one the engine was compiled for.

        Raises:
            ValueError: the shape is larger.
            RuntimeError: the GPU failed.
        """
        if self._stream is None:
            return self._run(values, 0)
        with torch.cuda.stream(self._stream):
            return self._run(values, self._stream.cuda_stream)

    def _run(self, values: np.ndarray, stream: int) -> np.ndarray:
        given = torch.from_numpy(np.ascontiguousarray(values)).to(self._device, self._input_type)
        if not self._context.set_input_shape(self._input, tuple(given.shape)):
            raise ValueError(f"{self._input} is {list(given.shape)}; the engine takes at most {list(self._largest)}")
        shape = tuple(self._context.get_tensor_shape(self._output))
        result = torch.empty(shape, dtype=self._output_type, device=self._device)
        for name, tensor in ((self._input, given), (self._output, result)):
            self._context.set_tensor_address(name, tensor.data_ptr())
        if not self._context.execute_async_v3(stream):
            raise RuntimeError("TensorRT-RTX could not run the network; the log says why")
        return result.cpu().numpy()
