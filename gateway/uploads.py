"""Forms with a recording (multipart/form-data) -> the fields of a model. Nothing of them is written to a disk."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from gateway.clips import MAX_BYTES
from gateway.errors import GatewayError
from gateway.settings import MEBIBYTE

Form = TypeVar("Form", bound=BaseModel)
File = Annotated[bytes, Field(strict=True)]  # no text
MULTIPART = "multipart/form-data"
_MAX_FIELDS = 32  # beside the one file
_MAX_TEXT = 64 * 1024  # bytes of a field


async def uploaded(request: Request, kind: type[Form]) -> Form:
    """The body's fields. Raises GatewayError when it is not a form, and RequestValidationError for a field."""
    kind_of_body = request.headers.get("content-type", "").lower()
    if "charset" in kind_of_body and "utf-8" not in kind_of_body:
        raise GatewayError(415, "The form must be UTF-8.")
    if not kind_of_body.startswith(MULTIPART):
        raise GatewayError(415, f"The body is not a form; send it as {MULTIPART}.")
    parser = MultiPartParser(
        request.headers, request.stream(), max_files=1, max_fields=_MAX_FIELDS, max_part_size=_MAX_TEXT
    )
    parser.spool_max_size = 2 * MAX_BYTES  # larger ones would go through a temporary file
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise GatewayError(400, f"The form cannot be read: {error.message.rstrip('.')}.") from error
    except UnicodeError as error:
        raise GatewayError(400, "The form cannot be read: it is not UTF-8.") from error
    try:
        values = {name: await _value(name, value) for name, value in form.multi_items()}
    finally:
        await form.close()
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise RequestValidationError([fault | {"loc": ("body", *fault["loc"])} for fault in error.errors()]) from error


async def _value(name: str, value: str | UploadFile) -> str | bytes:
    if isinstance(value, str):
        return value
    if (value.size or 0) > MAX_BYTES:
        raise GatewayError(413, f"{name} has more than {MAX_BYTES // MEBIBYTE} MiB.", name)
    return await value.read()


def form_body(kind: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI says of an endpoint that takes such a form."""
    content = {MULTIPART: {"schema": kind.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}
