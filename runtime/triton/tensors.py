"""Reading request tensors, making response tensors, and refusing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from runtime.formats.errors import InvalidRequestError, sentence
from runtime.formats.signing import KEY_VARIABLE, Seal

# Triton's code for each class, which becomes the gRPC code and the HTTP status of an answer that is no stream. There
# is no RESOURCE_EXHAUSTED and no DEADLINE_EXCEEDED: what may succeed later is UNAVAILABLE. Any other is INTERNAL.
_CODES = {
    "InvalidRequestError": "INVALID_ARG",
    "AudioFormatError": "INVALID_ARG",
    "OverloadedError": "UNAVAILABLE",
    "MemoryExhaustionError": "UNAVAILABLE",
    "GenerationTimeoutError": "UNAVAILABLE",
}
_FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
_LONGEST_OF_A_CLIENT = 2**20  # bytes of a string
LONGEST_OF_OURS = 2**25  # of a plan or a window: the longest text makes less than a third


def settings(args: dict[str, str]) -> dict[str, Any]:
    """The `settings.json` that the assembler put beside the model."""
    return json.loads((version_directory(args) / "settings.json").read_text())


def version_directory(args: dict[str, str]) -> Path:
    """Where model.py and its files are."""
    return Path(args["model_repository"]) / args["model_version"]


def seal(args: dict[str, str]) -> Seal:
    """What signs for the models of this server and checks what they signed; the log tells where nothing does."""
    made = Seal.from_environment()
    if not made:
        pb_utils.Logger.log_warn(
            f"{args['model_name']} takes and sends what is not signed: {KEY_VARIABLE} is not set, as serve would"
        )
    return made


def array(request: Any, name: str, most: int | None = None) -> np.ndarray | None:
    """An input tensor, or None when the request does not have it.

    Raises InvalidRequestError when it has more than `most` values.
    """
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    if tensor is None:
        return None
    value = tensor.as_numpy()
    if most is not None and value.size > most:
        raise InvalidRequestError(f"{name} has {value.size} values; at most {most} are allowed")
    return value


def required(request: Any, name: str) -> np.ndarray:
    """An input tensor. Raises InvalidRequestError when the request does not have it."""
    value = array(request, name)
    if value is None:
        raise InvalidRequestError(f"{name} is missing")
    return value


def text(request: Any, name: str, most_bytes: int = _LONGEST_OF_A_CLIENT) -> str | None:
    """A string input of one element, or None.

    Raises InvalidRequestError when it is not UTF-8, not one string or longer than `most_bytes`.
    """
    value = array(request, name)
    if value is None:
        return None
    if value.size != 1:
        raise InvalidRequestError(f"{name} must be one string, not {value.size}")
    content = value.reshape(-1)[0]
    if len(content) > most_bytes:
        raise InvalidRequestError(f"{name} has {len(content)} bytes; at most {most_bytes} are allowed")
    try:
        return content.decode("utf-8") if isinstance(content, bytes) else str(content)
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"{name} is not UTF-8 text: {error}") from error


def tensor(name: str, value: Any, dtype: Any) -> Any:
    """An output tensor."""
    return pb_utils.Tensor(name, np.ascontiguousarray(value, dtype=dtype))


def string_tensor(name: str, value: str) -> Any:
    """An output tensor with one string."""
    return pb_utils.Tensor(name, np.array([value.encode()], dtype=np.object_))


def refusal(words: str | Exception) -> Any:
    """A response that is an error and nothing else."""
    said = words if isinstance(words, str) else sentence(words)
    code = getattr(pb_utils.TritonError, _CODES.get(said.partition(":")[0], "INTERNAL"))
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(said, code))


def send(sender: Any, response: Any = None, last: bool = True) -> None:
    """Send a response, or, without one, only the end."""
    if response is None:
        sender.send(flags=_FINAL)
    else:
        sender.send(response, flags=_FINAL if last else 0)


def refuse(sender: Any, words: str | Exception) -> None:
    """Answer with an error and nothing else."""
    send(sender, refusal(words))
