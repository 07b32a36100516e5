"""Errors as OpenAI's clients read them: a status, and `{"error": {message, type, param, code}}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
_ABOUT_PATHS = {404, 405}


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


def as_refusal(error: GatewayError | HiggsError) -> GatewayError:
    """The same as an error of the gateway's own."""
    if isinstance(error, GatewayError):
        return error
    return GatewayError(status_of(error), str(error), None, error.code, error.retry_after)


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
        if isinstance(error.body, bytes) and error.body:  # the framework parses what is called JSON only
            return response(_unsupported(request))
        return response(_invalid(error))
    if isinstance(error, HTTPException):  # of the framework
        # There is no such route, or not with this method; or the body cannot be read.
        where = f": {shortened(request.url.path)}" if error.status_code in _ABOUT_PATHS else ""
        answer = response(GatewayError(error.status_code, f"{error.detail}{where}."))
        answer.headers.update(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and (methods := _methods(request)):
            answer.headers["allow"] = ", ".join(methods)
        return answer
    answer = response(GatewayError(500, "The gateway failed; its log says why."))
    answer.headers["connection"] = "close"  # the web server closes it now, and the client should not be surprised
    return answer


def _methods(request: Request) -> list[str]:
    """All that the path has: the framework names its first route's. Empty for a path that is not on the page."""
    path = getattr(request.scope.get("route"), "path_format", None)
    return sorted(method.upper() for method in request.app.openapi()["paths"].get(path, ()))


def _unsupported(request: Request) -> GatewayError:
    named = request.headers.get("content-type")
    what = f"is {shortened(named)!r}" if named else "is missing"
    return GatewayError(415, f"The header content-type {what}; send JSON, as application/json.")


def _invalid(error: RequestValidationError) -> GatewayError:
    fault: Mapping[str, Any] = error.errors()[0]
    return refusal_of(fault, fault["loc"][1:])


def refusal_of(fault: Mapping[str, Any], loc: Sequence[int | str]) -> GatewayError:
    """A fault that pydantic found, in one sentence. loc: where it is in what the client sent."""
    place = [str(step) for step in loc]
    if fault["type"] == "json_invalid":
        return GatewayError(400, f"The body is not JSON: {fault['ctx']['error']}.")
    name = shortened(".".join(place[:1])) or None
    given = fault.get("input")
    repeated = given[: MAX_ECHO + 1] if isinstance(given, str) else given
    is_large = fault["type"] == "missing" or isinstance(given, (dict, list, bytes))
    what = "" if is_large else f" is {shortened(repr(repeated))}"
    told = str(fault["msg"]).removeprefix("Value error, ").rstrip(".")
    return GatewayError(400, f"{name or 'The body'}{what}: {told[:1].lower()}{told[1:]}.", name)


def shortened(text: str) -> str:
    """What the client sent, fit to be repeated: no control characters, and at most MAX_ECHO characters."""
    clean = "".join(character if character.isprintable() else "�" for character in text[: MAX_ECHO + 1])
    return clean if len(clean) <= MAX_ECHO else f"{clean[:MAX_ECHO]}…"
