"""The errors a request can meet inside the engine. The class name travels in the message to the client."""

from __future__ import annotations


class EngineError(Exception):
    """Base of every error that ends one request and leaves the others alone."""


class InvalidRequestError(EngineError):
    """The request itself cannot be served: wrong shape, ids out of range, longer than the engine's limit."""


class OverloadedError(EngineError):
    """The waiting queue is full; the same request may succeed later."""


class GenerationTimeoutError(EngineError):
    """The request's deadline passed before its last frame."""


class MemoryExhaustionError(EngineError):
    """The machine ran out of memory while the request was being served."""


class CUDAFailureError(EngineError):
    """The GPU or its driver failed while the request was being served."""


class ModelLoadingError(EngineError):
    """The exported model is missing, unreadable, or does not fit this engine."""


def classify(error: Exception) -> EngineError:
    """Give an error of a model runtime its class, so that clients and metrics can tell them apart."""
    if isinstance(error, EngineError):
        return error
    text = f"{type(error).__name__}: {error}"
    lowered = text.lower()
    if isinstance(error, MemoryError) or "out of memory" in lowered or "failed to allocate" in lowered:
        return MemoryExhaustionError(f"the step needed more memory than is free ({text})")
    if "cuda" in lowered or "cudnn" in lowered or "tensorrt" in lowered:
        return CUDAFailureError(f"the GPU step failed ({text})")
    return EngineError(f"the generation step failed ({text})")
