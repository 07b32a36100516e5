"""A network of the codec as a TensorRT-RTX engine, run on the current GPU."""

from __future__ import annotations

import importlib
import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.errors import ModelLoadingError

_MODULES = ("tensorrt_rtx", "tensorrt_rtx_bindings")  # the metapackage's name, and the wheels' own

logger = logging.getLogger(__name__)


class RtxNetwork:
    """An engine of one profile with one input and one output, and the context that runs it.

    Args:
        engine: TensorRT-RTX's `ICudaEngine`.
        device: where it runs.
        owner: what the engine came from and must not outlive.
    """

    def __init__(self, engine: Any, input_name: str, output_name: str, device: torch.device, owner: Any = None) -> None:
        self._engine, self._owner, self._device = engine, owner, device
        self._input, self._output = input_name, output_name
        self._context = engine.create_execution_context()
        if self._context is None:
            raise ModelLoadingError("TensorRT-RTX cannot prepare the codec's engine; the log says why")
        self._type = {"FLOAT": torch.float32, "INT32": torch.int32}[engine.get_tensor_dtype(output_name).name]
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._lock = threading.Lock()  # a context runs one call at a time

    @classmethod
    def load(cls, path: Path, input_name: str, output_name: str) -> RtxNetwork:
        """Open an engine file. Raises ModelLoadingError: TensorRT-RTX, a GPU or the file is missing or does not fit."""
        module = _module()
        if not torch.cuda.is_available():
            raise ModelLoadingError(f"{path.name} is an engine for a GPU, and torch sees none here")
        runtime = module.Runtime(_log(module))
        try:
            engine = runtime.deserialize_cuda_engine(path.read_bytes())
        except OSError as error:
            raise ModelLoadingError(f"{path} cannot be read: {error.strerror}") from error
        if engine is None:
            raise ModelLoadingError(f"TensorRT-RTX {module.__version__} cannot load {path.name} on this GPU")
        return cls(engine, input_name, output_name, torch.device("cuda", torch.cuda.current_device()), runtime)

    def __call__(self, array: np.ndarray) -> np.ndarray:
        """Run it. Raises RuntimeError for a shape the engine was not compiled for, or when the run fails."""
        with self._lock:
            values = torch.from_numpy(np.ascontiguousarray(array)).to(self._device)
            if not self._context.set_input_shape(self._input, tuple(values.shape)):
                raise RuntimeError(f"the engine does not take {self._input} of shape {tuple(values.shape)}")
            shape = tuple(self._context.get_tensor_shape(self._output))
            result = torch.empty(shape, dtype=self._type, device=self._device)
            self._context.set_tensor_address(self._input, values.data_ptr())
            self._context.set_tensor_address(self._output, result.data_ptr())
            if self._stream is not None:
                self._stream.wait_stream(torch.cuda.current_stream(self._device))
            if not self._context.execute_async_v3(0 if self._stream is None else self._stream.cuda_stream):
                raise RuntimeError("TensorRT-RTX could not run the codec; the log says why")
            if self._stream is not None:
                self._stream.synchronize()
            return result.cpu().numpy()


def _module() -> Any:
    for name in _MODULES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ModelLoadingError("TensorRT-RTX is not installed; it is the package tensorrt-rtx-cu12")


def _log(module: Any) -> Any:
    class Log(module.ILogger):
        """Passes complaints on to Python's logging."""

        def __init__(self) -> None:
            module.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            serious = severity in (module.ILogger.INTERNAL_ERROR, module.ILogger.ERROR)
            logger.log(logging.ERROR if serious else logging.DEBUG, message)

    return Log()
