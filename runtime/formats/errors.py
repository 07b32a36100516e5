"""The errors that one request can cause. The message to the client carries the class name."""

from __future__ import annotations

import re

_MOST_REPEATED = 100  # characters; a sentence repeats two things at most
_MOST_OF_A_LIBRARY = 200
_LONGEST_SENTENCE = 1000  # what it lists, such as a server's voices, may be cut
# CUDA's and PyTorch's words, ONNX Runtime's, cuBLAS's and cuDNN's.
_LACK_OF_MEMORY = ("out of memory", "failed to allocate", "_status_alloc_failed")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_FOLDER = re.compile(r"(?<![\w.])(?:/[^\s/'\"<>:,;()]+)+/(?=[^\s/])")


class RequestError(Exception):
    """Base of every error that ends one request and leaves the others alone."""


class InvalidRequestError(RequestError):
    """A value of the request is missing, of the wrong kind, or out of range."""


class AudioFormatError(RequestError):
    """The reference audio cannot be used: not finite, silent, too short or too long."""


class AudioTokenizationError(RequestError):
    """The codec could not turn reference audio into codes, or codes into audio."""


class StateError(RequestError):
    """Nothing can be kept: the server has no state folder, or cannot write to it."""


class OverloadedError(RequestError):
    """The waiting queue is full; the same request may succeed later."""


class GenerationTimeoutError(RequestError):
    """The request's deadline passed before its last frame."""


class MemoryExhaustionError(RequestError):
    """The machine ran out of memory while the request was served, or has too little left to begin it."""


class CUDAFailureError(RequestError):
    """The GPU or its driver failed while the request was being served."""


class EngineError(RequestError):
    """The language model's engine failed for a reason that has no class of its own."""


class ModelLoadingError(RequestError):
    """A file of the bundle is missing, unreadable, or does not fit what reads it."""


def timed_out(where: str = "before its speech was complete") -> GenerationTimeoutError:
    """The error for a request whose time limit passed."""
    return GenerationTimeoutError(f"the request's time limit passed {where}")


def classify(error: Exception, step: str = "the generation step") -> RequestError:
    """Give an error of a model runtime, which came up in that step, its class: clients and metrics tell them apart."""
    if isinstance(error, RequestError):
        return error
    text = _cut(f"{type(error).__name__}: {error}", _MOST_OF_A_LIBRARY)
    lowered = f"{type(error).__name__}: {error}".lower()
    if is_out_of_memory(error):
        return MemoryExhaustionError(f"{step} needed more memory than is free ({text})")
    if "cuda" in lowered or "cudnn" in lowered or "tensorrt" in lowered:
        return CUDAFailureError(f"the GPU step failed ({text})")
    return EngineError(f"{step} failed ({text})")


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory, this machine's or a GPU's, was what an error of a model runtime lacked."""
    lowered = str(error).lower()
    return isinstance(error, MemoryError) or any(words in lowered for words in _LACK_OF_MEMORY)


def sentence(error: Exception) -> str:
    """What the client reads: the class, then what was wrong, on one line and without the server's folders."""
    words = _FOLDER.sub("…/", _CONTROL.sub(" ", str(error)))
    return _cut(f"{type(error).__name__}: {words}", _LONGEST_SENTENCE)


def read_sentence(words: str) -> RequestError:
    """The error whose `sentence` that is."""
    name, _, said = words.partition(": ")
    kinds = {kind.__name__: kind for kind in RequestError.__subclasses__()}
    return kinds.get(name, EngineError)(said)


def shortened(text: str) -> str:
    """As much of what a request brought as a message repeats."""
    return _cut(text, _MOST_REPEATED)


def quoted(value: object) -> str:
    """A value that a request brought, as a message repeats it."""
    return shortened(repr(value))


def require(condition: bool, name: str, value: object) -> None:
    """Raise InvalidRequestError for a value that is out of range unless `condition` holds."""
    if not condition:
        raise InvalidRequestError(f"{name} is {quoted(value)}, which is out of range")


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}…"
