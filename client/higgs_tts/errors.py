"""What can go wrong with a request: a class and a code for each kind of error, the server's and the client's."""

import math
import re
from typing import Any

import grpc

_TRY_AGAIN = re.compile(r"try again in (\d+) s")


class HiggsError(Exception):
    """Base of every error this package raises. The text is one sentence for the user.

    code: the kind of error in a word, for programs and logs. request_id: the id under which the server knows the
    request; None when none was sent. retryable: whether the same request may succeed later. retry_after: seconds after
    which it may, where the server says so.
    """

    code: str = "server_error"
    retryable: bool = True

    def __init__(
        self, message: str, *, code: str | None = None, request_id: str | None = None, retryable: bool | None = None
    ) -> None:
        super().__init__(message)
        self.code = code or self.code
        self.retryable = self.retryable if retryable is None else retryable
        self.request_id = request_id
        told = _TRY_AGAIN.search(message)
        self.retry_after = float(told[1]) if told else None


class ModelLoadingError(HiggsError):
    """The server could not load a model, an engine or a voice it needs."""

    code = "model_loading"
    retryable = False


class AudioTokenizationError(HiggsError):
    """The codec failed to turn the reference audio into codes, or codes into audio."""

    code = "audio_tokenization"


class GenerationTimeoutError(HiggsError):
    """The speech took longer than the call's `timeout` or `GenerationParams.timeout_seconds`."""

    code = "generation_timeout"


class MemoryExhaustionError(HiggsError):
    """The server ran out of memory, or out of room for this request's length."""

    code = "memory_exhaustion"


class CUDAFailureError(HiggsError):
    """The GPU failed."""

    code = "cuda_failure"


class AudioFormatError(HiggsError):
    """The reference audio cannot be used: unreadable, empty, silent, too short, too long or not finite."""

    code = "format_error"
    retryable = False


class InvalidRequestError(HiggsError):
    """The request itself is wrong: empty text, unknown voice, unknown or impossible option."""

    code = "invalid_request"
    retryable = False


class StateError(HiggsError):
    """The server cannot keep a voice: it has no state folder, or cannot write to it."""

    code = "state_error"
    retryable = False


class VoiceFolderError(HiggsError):
    """A folder of voice profiles cannot be used: a file is missing or not what its format says."""

    code = "voice_folder"
    retryable = False


class OverloadedError(HiggsError):
    """The server has no room for another request now; the same request may succeed later."""

    code = "overloaded"


class ServerUnavailableError(HiggsError):
    """No server answers at the address, the one that answers cannot serve speech, or the connection broke."""

    code = "server_unavailable"


class StreamStalledError(HiggsError):
    """The server kept the stream open but sent nothing for longer than the deadline."""

    code = "stream_stalled"


_BY_NAME = {kind.__name__: kind for kind in HiggsError.__subclasses__()}
# What Triton puts before a model's own message.
_PREFIX = re.compile(
    r"(in ensemble '[^']*', |Failed to process the request\(s\) for (model )?(instance )?'[^']*', message: )*"
)
# Triton's own messages for a model that is absent, still loading, or whose Python process was killed.
_NOT_SERVING = re.compile(r"unknown model|not ready|[Ss]erver is stopping|no available versions|is not healthy")
# gRPC's messages, in the words of its versions.
_NO_NAME = re.compile(r"resolving|resolution|lookup", re.IGNORECASE)
_NO_TRUST = re.compile(r"SSL|handshake|verification", re.IGNORECASE)
_HUNG_UP = re.compile(r"Socket closed|End of TCP stream|Connection reset", re.IGNORECASE)
# Triton's own messages for tensors that do not match the model's configuration.
_BAD_TENSOR = re.compile(r"inference input|unexpected shape|expected \d+ inputs|data-type")


def error_from_server(message: str, address: str, request_id: str | None = None) -> HiggsError:
    """The exception for an error message of the server at `address`.

    The bundle's models write `Name: sentence`, where `Name` is the class of the error; Triton may append a Python
    traceback. All other messages are Triton's own.
    """
    told = message.strip().partition("\n")[0]
    name, _, sentence = _PREFIX.sub("", told, count=1).partition(": ")
    if name in _BY_NAME:
        return _BY_NAME[name](sentence.strip(), request_id=request_id)
    if _NOT_SERVING.search(message):
        return ServerUnavailableError(f"The server at {address} cannot serve speech now: {told}", request_id=request_id)
    if _BAD_TENSOR.search(message):
        return InvalidRequestError(
            f"The server at {address} takes other inputs than this client sends: {told}", request_id=request_id
        )
    return HiggsError(f"The server at {address} failed: {told}", request_id=request_id)


def error_from_grpc(error: Any, address: str, seconds: float, request_id: str | None = None) -> HiggsError:
    """The exception for a gRPC call to the server at `address` that failed, or got no answer within `seconds`."""
    status, details = error.code(), error.details()
    if status in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return ServerUnavailableError(
            f"The server at {address} refused the client's credentials: {details}.",
            code=status.name.lower(), request_id=request_id, retryable=False,
        )  # fmt: skip
    if status == grpc.StatusCode.DEADLINE_EXCEEDED:
        sentence = f"The server at {address} did not answer within {seconds:g} s."
        return ServerUnavailableError(sentence, request_id=request_id)
    told = error_from_server(details, address, request_id)
    if status == grpc.StatusCode.UNAVAILABLE and type(told) is HiggsError:  # it was gRPC who spoke, not the server
        return _no_connection(details, address, request_id)
    return told


def _no_connection(details: str, address: str, request_id: str | None) -> ServerUnavailableError:
    """Why there is no connection, from what gRPC says."""
    sentence, retryable = f"No server answers at {address}: start one, or give another address.", True
    if _NO_NAME.search(details):
        sentence = f"The name in {address} is unknown here: check its spelling, or give an IP address."
    elif _NO_TRUST.search(details):
        sentence = f"The server at {address} and this client do not trust each other's TLS certificates: {details}."
        retryable = False
    elif _HUNG_UP.search(details):
        sentence = (
            f"The server at {address} hangs up at once: it may ask for TLS (`credentials`, --tls), "
            "or for a certificate of the client's."
        )
    return ServerUnavailableError(sentence, request_id=request_id, retryable=retryable)


def checked_seconds(name: str, seconds: float) -> float:
    """A timeout in seconds. Raises InvalidRequestError unless it is a finite number above 0."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < math.inf:
        raise InvalidRequestError(f"{name} is {seconds!r}; give a number of seconds above 0.")
    return seconds
