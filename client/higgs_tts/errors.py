"""What can go wrong with a request: a class for each error the server names, and the client's own.

The server writes `ClassName: sentence` into its error message; Triton may put a prefix before it
(`in ensemble 'higgs_audio_v2', ...`) and a Python traceback after it.
"""

import re


class HiggsError(Exception):
    """Base of every error this package raises. The text is one sentence for the user."""


class ModelLoadingError(HiggsError):
    """The server could not load a model, an engine or a voice it needs."""


class AudioTokenizationError(HiggsError):
    """The reference audio could not be turned into codes."""


class GenerationTimeoutError(HiggsError):
    """The generation took longer than `timeout_seconds`."""


class MemoryExhaustionError(HiggsError):
    """The server ran out of memory, or out of room for this request's length."""


class CUDAFailureError(HiggsError):
    """The GPU failed."""


class AudioFormatError(HiggsError):
    """The reference audio cannot be used: unreadable, empty, silent, too short, too long or not finite."""


class InvalidRequestError(HiggsError):
    """The request itself is wrong: empty text, unknown voice, unknown or impossible option."""


class StateError(HiggsError):
    """The server cannot keep a voice: it has no state folder, or its disk refuses."""


class VoiceFolderError(HiggsError):
    """A folder of voice profiles cannot be used: a file is missing or not what its format says."""


class OverloadedError(HiggsError):
    """The server has no room for another request now; the same request may succeed later."""


class ServerUnavailableError(HiggsError):
    """Nothing answers at the address, or what answers cannot serve speech, or it went away meanwhile."""


class StreamStalledError(HiggsError):
    """The server kept the stream open but sent nothing for longer than the deadline."""


_NAMED_BY_SERVER = {
    error.__name__: error
    for error in (
        ModelLoadingError,
        AudioTokenizationError,
        GenerationTimeoutError,
        MemoryExhaustionError,
        CUDAFailureError,
        AudioFormatError,
        InvalidRequestError,
        OverloadedError,
        StateError,
    )
}
_NAMED_ERROR = re.compile(rf"\b({'|'.join(_NAMED_BY_SERVER)}): (.*)")
# Triton's own words for a model that is absent, still loading, or whose Python process was killed.
_NOT_SERVING = re.compile(r"unknown model|not ready|no available versions|is not healthy")
# Triton's own words for tensors that do not fit the model's configuration.
_BAD_TENSOR = re.compile(r"inference input|unexpected shape|expected \d+ inputs|data-type")


def error_from_server(message: str, address: str) -> HiggsError:
    """The exception for an error message that arrived on a stream from the server at `address`."""
    named = _NAMED_ERROR.search(message)
    if named:
        return _NAMED_BY_SERVER[named[1]](named[2].strip())
    sentence = message.partition("\n")[0].strip()
    if _NOT_SERVING.search(message):
        return ServerUnavailableError(f"The server at {address} cannot serve speech now: {sentence}")
    if _BAD_TENSOR.search(message):
        return InvalidRequestError(f"The server at {address} takes other inputs than this client sends: {sentence}")
    return HiggsError(f"The server at {address} failed: {sentence}")
