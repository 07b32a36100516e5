"""Executes a TensorRT-RTX engine on the current GPU: the part of the language model's runner that needs a GPU."""

from __future__ import annotations

import logging
import mmap
from pathlib import Path
from typing import Any

import torch

from runtime.engine.inflight.graph_executor import AUDIO, DECODE, PROFILES, Binding, GraphLimits, address
from runtime.formats.errors import ModelLoadingError
from runtime.formats.tensorrt_rtx import tensorrt_rtx

_CACHE_TYPES = {"FLOAT": torch.float32, "HALF": torch.float16, "BF16": torch.bfloat16}

logger = logging.getLogger(__name__)


class RtxExecutor:
    """A deserialised engine with one execution context for each of its profiles.

    The contexts share one block of working memory, allocated here: they never run at the same time, and no step can
    then run out of memory. The engine runs on a separate stream, which waits for the caller's current stream, and the
    caller's stream waits for it, so that the caller's tensor operations need no synchronisation.

    Args:
        module: TensorRT-RTX.
        engine: its `ICudaEngine`, compiled by `build/rtx.py` with the profiles `graph_executor.PROFILES`.
        device: the GPU the engine lies on.
        runtime: the runtime that made the engine, which the engine must not outlive.

    Raises:
        ModelLoadingError: the engine has other profiles or tensors.
    """

    def __init__(self, module: Any, engine: Any, device: torch.device, runtime: Any = None) -> None:
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        if engine.num_optimization_profiles != len(PROFILES) or "past_key_0" not in names:
            raise ModelLoadingError(
                f"the engine has {engine.num_optimization_profiles} profiles and the tensors {', '.join(names)}; "
                f"a language model's has the profiles {', '.join(PROFILES)} and a past"
            )
        self._device, self._engine, self._runtime = device, engine, runtime
        self._inputs = [name for name in names if engine.get_tensor_mode(name) == module.TensorIOMode.INPUT]
        self._outputs = [name for name in names if name not in self._inputs]
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._memory = torch.empty(engine.device_memory_size_v2, dtype=torch.uint8, device=device)
        self._contexts: dict[str, Any] = {}
        self._bound: dict[str, Binding] = {}
        for index, profile in enumerate(PROFILES):
            context = engine.create_execution_context(module.ExecutionContextAllocationStrategy.USER_MANAGED)
            if context is None or not context.set_optimization_profile_async(index, self._stream_handle()):
                raise ModelLoadingError(f"TensorRT-RTX cannot prepare the profile {profile} of the engine")
            context.set_device_memory(address(self._memory), self._memory.nbytes)
            self._contexts[profile] = context
        if self._stream is not None:
            self._stream.synchronize()

    @classmethod
    def load(cls, path: Path) -> RtxExecutor:
        """Open an engine file on the current GPU.

        Raises:
            ModelLoadingError: TensorRT-RTX, a GPU or the file is missing, or the engine does not fit them.
        """
        module = tensorrt_rtx()
        if not torch.cuda.is_available():
            raise ModelLoadingError(f"{path.name} is an engine for a GPU, but torch sees none here")
        runtime = module.Runtime(_log(module))
        try:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as serialized:
                engine = runtime.deserialize_cuda_engine(serialized)
        except (OSError, ValueError) as error:
            raise ModelLoadingError(f"{path} cannot be read: {error}") from error
        if engine is None:
            card = "{}.{}".format(*torch.cuda.get_device_capability())
            raise ModelLoadingError(
                f"TensorRT-RTX {module.__version__} cannot load {path} on this GPU of compute capability {card}; "
                f"{path.name}.json says what it was built for and by, and the log says why"
            )
        return cls(module, engine, torch.device("cuda", torch.cuda.current_device()), runtime)

    @property
    def device(self) -> torch.device:
        """The GPU."""
        return self._device

    @property
    def cache_dtype(self) -> torch.dtype:
        """The dtype of the past inputs."""
        return _CACHE_TYPES[self._engine.get_tensor_dtype("past_key_0").name]

    @property
    def limits(self) -> GraphLimits:
        """The largest shapes of the engine's profiles."""

        def largest(name: str, profile: str) -> Any:
            return self._engine.get_tensor_profile_shape(name, PROFILES.index(profile))[2]

        past = min(largest("past_key_0", profile)[2] for profile in PROFILES)
        return GraphLimits(int(largest("ids", DECODE)[0]), int(largest("ids", AUDIO)[1]), int(past))

    def execute(self, binding: Binding) -> None:
        """Enqueue the graph after the caller's current stream; what the caller enqueues next waits for it."""
        context = self._contexts[binding.profile]
        if self._bound.get(binding.profile) is not binding:
            self._bind(context, binding)
            self._bound[binding.profile] = binding
        if self._stream is not None:
            caller = torch.cuda.current_stream(self._device)
            self._stream.wait_stream(caller)
        if not context.execute_async_v3(self._stream_handle()):
            raise RuntimeError(f"TensorRT-RTX could not run a {binding.profile} call; the log says why")
        if self._stream is not None:
            caller.wait_stream(self._stream)

    def _bind(self, context: Any, binding: Binding) -> None:
        for name in self._inputs:
            shape = tuple(binding.tensors[name].shape)
            if not context.set_input_shape(name, shape):
                raise ValueError(f"the engine's {binding.profile} profile does not take {name} of shape {shape}")
        for name in (*self._inputs, *self._outputs):
            tensor = binding.tensors[name]
            if not tensor.is_contiguous():
                raise ValueError(f"{name} is not contiguous: {tuple(tensor.shape)} with strides {tensor.stride()}")
            if not context.set_tensor_address(name, address(tensor)):
                raise ValueError(f"the engine does not take {name} at the address {address(tensor):#x}")

    def _stream_handle(self) -> int:
        return 0 if self._stream is None else self._stream.cuda_stream


def _log(module: Any) -> Any:
    levels = {
        module.ILogger.INTERNAL_ERROR: logging.CRITICAL,
        module.ILogger.ERROR: logging.ERROR,
        module.ILogger.WARNING: logging.WARNING,
    }

    class Log(module.ILogger):
        """Passes what TensorRT-RTX says on to Python's logging."""

        def __init__(self) -> None:
            module.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            logger.log(levels.get(severity, logging.DEBUG), message)

    return Log()
