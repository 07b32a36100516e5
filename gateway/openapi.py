"""The OpenAPI page, `/openapi.json`: every status that a request may be answered with, and what comes then."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel


class ErrorDetails(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    """An error in OpenAI's shape."""

    error: ErrorDetails


_OF_ALL = (400, 404, 405, 500, 503, 504)
_OF_BODIES = (408, 413, 415)
_OF_KEYS = (401, 403, 429)
ERRORS: dict[int | str, dict[str, Any]] = {code: {"model": ErrorAnswer} for code in _OF_ALL + _OF_BODIES + _OF_KEYS}
_INVALID = "422"  # the framework's word for what is answered here with 400
_LATER = {429, 503}
_OPEN = "/health"  # to those without a key, too (`front.py`)


def _told(kind: str, **fields: dict[str, Any]) -> dict[str, Any]:
    properties = {"type": {"const": kind}, **fields}
    return {"type": "object", "required": list(properties), "properties": properties}


_WHOLE = {"type": "integer", "minimum": 0}
_USAGE = dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), _WHOLE)
_DELTA = _told(
    "speech.audio.delta",
    audio={"type": "string", "contentEncoding": "base64"},
    part={**_WHOLE, "description": "Of the speech, from 0."},
    speaker={"type": ["string", "null"]},
    stop={"type": "number", "description": "Second of the speech, at speed 1, up to which it goes."},
)
_DONE = _told(
    "speech.audio.done",
    usage={"type": "object", "required": [*_USAGE], "properties": _USAGE},
    finish_reason={"type": "string"},
    report={"type": ["object", "null"]},
)
_DONE["properties"] |= {  # of a speech that is stored
    "stored": {"type": "boolean", "description": "Whether it was stored by now."},
    "stored_address": {"type": "string", "description": "Where: s3://…, or a name in the operator's folder."},
    "stored_url": {"type": "string", "description": "Whence anybody may fetch it for a while."},
    "stored_error": {"type": "string", "description": "Why it was not, in a sentence."},
}
STORED_HEADERS = {
    name: {"description": meaning, "schema": {"type": "string"}}
    for name, meaning in (
        ("x-stored", "Of a speech that is stored: its address."),
        ("x-stored-url", "Whence anybody may fetch it for a while, once it is there."),
        ("x-was-stored", "With `stream: false`: whether it is there, `true` or `false`."),
        ("x-stored-error", "Why it is not, in a sentence."),
    )
}
_ERROR = _told("speech.audio.error", error={"$ref": f"#/components/schemas/{ErrorDetails.__name__}"})
# One server-sent event, whose data are JSON.
EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"enum": [one["properties"]["type"]["const"] for one in (_DELTA, _DONE, _ERROR)]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"oneOf": [_DELTA, _DONE, _ERROR]},
        },
    },
}


class DescribedApp(FastAPI):
    """FastAPI, whose page says of errors what `errors.py` answers."""

    def openapi(self) -> dict[str, Any]:
        """The page, as a JSON object; made once."""
        if self.openapi_schema is None:
            page = super().openapi()
            for path, operations in page["paths"].items():
                for operation in operations.values():
                    _describe(operation, path.startswith(_OPEN))
            schemas = page["components"]["schemas"]
            schemas.pop("HTTPValidationError", None)
            schemas.pop("ValidationError", None)
            page["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        return self.openapi_schema or page


def _describe(operation: dict[str, Any], is_open: bool) -> None:
    answers: dict[str, dict[str, Any]] = operation["responses"]
    answers.pop(_INVALID, None)
    absent = (() if "requestBody" in operation else _OF_BODIES) + (_OF_KEYS if is_open else ())
    for code in absent:
        answers.pop(str(code), None)
    schema = {"$ref": f"#/components/schemas/{ErrorAnswer.__name__}"}
    for status, answer in answers.items():
        code = int(status)
        answer.setdefault("headers", {})["x-request-id"] = _header("Of this request; the log has it too.")
        if code < HTTPStatus.BAD_REQUEST:
            continue
        answer["content"] = {"application/json": {"schema": schema}}
        if code in _LATER:
            answer["headers"]["retry-after"] = _header("Seconds after which to try again.", "integer")
        if code == HTTPStatus.METHOD_NOT_ALLOWED:
            answer["headers"]["allow"] = _header("The methods that there are.")
    if not is_open:
        operation["security"] = [{}, {"key": []}]  # whether there are keys is the operator's choice


def _header(meaning: str, kind: str = "string") -> dict[str, Any]:
    return {"description": meaning, "required": True, "schema": {"type": kind}}
