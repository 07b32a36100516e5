"""Errors as OpenAI's clients read them: a status, and `{"error": {message, type, param, code}}`."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from math import ceil
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from higgs_tts import (
    AudioFormatError,
    GenerationTimeoutError,
    HiggsError,
    InvalidRequestError,
    MemoryExhaustionError,
    ModelLoadingError,
    OverloadedError,
    ServerUnavailableError,
    StateError,
    StreamStalledError,
)
from starlette.exceptions import HTTPException

INVALID, UNAUTHENTICATED, LIMITED, SERVER = (
    "invalid_request_error",
    "authentication_error",
    "rate_limit_error",
    "server_error",
)
MAX_ECHO = 200  # characters of what the client sent that a message repeats
# Any error of the client library has the status of the first of these classes that it is.
_STATUS: tuple[tuple[tuple[type[HiggsError], ...], int], ...] = (
    ((InvalidRequestError, AudioFormatError), HTTPStatus.BAD_REQUEST),
    ((StateError,), HTTPStatus.FORBIDDEN),
    ((OverloadedError, MemoryExhaustionError), HTTPStatus.TOO_MANY_REQUESTS),
    ((GenerationTimeoutError, StreamStalledError), HTTPStatus.GATEWAY_TIMEOUT),
    ((ServerUnavailableError, ModelLoadingError), HTTPStatus.SERVICE_UNAVAILABLE),
    ((HiggsError,), HTTPStatus.INTERNAL_SERVER_ERROR),
)
_TYPES = {401: UNAUTHENTICATED, 403: "permission_error", 429: LIMITED}
_RETRY_SECONDS = {429: 2, 503: 5}  # where the server does not say when to come again


class GatewayError(Exception):
    """A refusal of the gateway's own. param: the field that is wrong. retry_after: seconds after which to try again."""

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code, self.retry_after = status, param, code, retry_after


def status_of(error: HiggsError) -> int:
    """The HTTP status for an error of the client library."""
    return next(status for kinds, status in _STATUS if isinstance(error, kinds))


def body(error: GatewayError | HiggsError) -> dict[str, Any]:
    """The error in OpenAI's shape."""
    status = error.status if isinstance(error, GatewayError) else status_of(error)
    kind = _TYPES.get(status) or (SERVER if status >= HTTPStatus.INTERNAL_SERVER_ERROR else INVALID)
    param = error.param if isinstance(error, GatewayError) else None
    return {"error": {"message": str(error), "type": kind, "param": param, "code": error.code}}


def response(error: GatewayError | HiggsError) -> JSONResponse:
    """The error as an answer, with when to come again where that helps."""
    status = error.status if isinstance(error, GatewayError) else status_of(error)
    headers = {}
    if status in _RETRY_SECONDS:
        headers["retry-after"] = str(max(1, ceil(error.retry_after or _RETRY_SECONDS[status])))
    if status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(body(error), status, headers)


async def on_error(request: Request, error: Exception) -> JSONResponse:
    """The answer to whatever a handler raised."""
    if isinstance(error, (GatewayError, HiggsError)):
        return response(error)
    if isinstance(error, RequestValidationError):
        return response(_invalid(error))
    if isinstance(error, HTTPException):  # of the framework: no such route, or not with this method
        answer = response(GatewayError(error.status_code, f"{error.detail}: {shortened(request.url.path)}."))
        answer.headers.update(error.headers or {})
        return answer
    return response(GatewayError(500, "The gateway failed; its log says why."))


def _invalid(error: RequestValidationError) -> GatewayError:
    """The first fault of a request, in one sentence."""
    fault: Mapping[str, Any] = error.errors()[0]
    place = [str(step) for step in fault["loc"][1:]]
    if fault["type"] == "json_invalid":
        return GatewayError(400, f"The body is no JSON: {fault['ctx']['error']}.")
    name = ".".join(place[:1]) or None
    given = fault.get("input")
    what = "" if fault["type"] == "missing" or isinstance(given, (dict, bytes)) else f" is {shortened(repr(given))}"
    told = str(fault["msg"]).removeprefix("Value error, ").rstrip(".")
    return GatewayError(400, f"{name or 'The body'}{what}: {told[:1].lower()}{told[1:]}.", name)


def shortened(text: str) -> str:
    """What the client sent, fit to be repeated: no control characters, and at most MAX_ECHO characters."""
    clean = "".join(character if character.isprintable() else "�" for character in text[: MAX_ECHO + 1])
    return clean if len(clean) <= MAX_ECHO else f"{clean[:MAX_ECHO]}…"
