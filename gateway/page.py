"""The page at `/`, where people write and hear speech, and the one at `/docs`. Both load nothing from other hosts."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from gateway.errors import GatewayError, shortened

_FOLDER = Path(__file__).with_name("static")
_SWAGGER = Path(str(resources.files("fastapi_swagger") / "resources"))
FILES = {file.name: file for file in _FOLDER.iterdir()} | {
    name: _SWAGGER / name for name in ("swagger-ui-bundle.js", "swagger-ui.css")
}
# Windows may have other names for them.
_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}
_POLICY = (
    "default-src 'self'; media-src 'self' blob:; worker-src 'self'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
_HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": _POLICY,
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
# Swagger UI writes styles into its elements and has its pictures in its style sheet.
_DOCS_HEADERS = _HEADERS | {
    "content-security-policy": f"{_POLICY}; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page() -> Response:
    """The page."""
    return _file("index.html", _HEADERS)


@router.get("/docs")
async def docs() -> Response:
    """The interface, to be read and tried."""
    return _file("docs.html", _DOCS_HEADERS)


@router.get("/page/{name}")
async def part(name: str) -> Response:
    """What the pages consist of."""
    if name not in FILES:
        raise GatewayError(404, f"The page has no file {shortened(name)!r}.")
    return _file(name, _HEADERS)


def _file(name: str, headers: dict[str, str]) -> Response:
    file = FILES[name]
    return FileResponse(file, headers=headers, media_type=_TYPES.get(file.suffix))
