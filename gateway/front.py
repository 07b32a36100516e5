"""What every request passes first: its id, its key, the limits of its body; and what it leaves: a metric and a line."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
import uuid
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import errors
from gateway.errors import GatewayError
from gateway.keys import Key, Keys
from gateway.metrics import Metrics, Spoken

logger = logging.getLogger("gateway.requests")

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
SPEECH_PATH = "/v1/audio/speech"
# To those without a key, where keys are needed. A page's link cannot carry one.
_OPEN, _OPEN_BELOW = {"/", "/docs", "/openapi.json", "/health"}, ("/page/", "/health/")
_HARMLESS = {"GET", "HEAD", "OPTIONS"}
_METHODS = {"GET", "HEAD", "POST", "DELETE", "OPTIONS"}


class Front:
    """Wraps the application. max_body: bytes of a request's body, which may take `seconds` to come. origins: of pages
    that may call."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, keys: Keys, max_body: int, origins: tuple[str, ...], seconds: float
    ) -> None:
        self._app, self._metrics, self._keys = app, metrics, keys
        self._max_body, self._seconds = max_body, seconds
        self._origins = _Any() if "*" in origins else origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, method = Headers(scope=scope), scope["method"]
        if method == "HEAD":  # answered as GET; the web server leaves the body out
            scope = {**scope, "method": "GET"}
        given = headers.get("x-request-id", "")
        spoken = Spoken(self._metrics, given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex)
        scope.setdefault("state", {})["spoken"] = spoken
        status = 499  # until it is answered; nobody is there when it never is

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = spoken.request_id
            await send(message)

        self._metrics.open.inc()
        try:
            await self._pass(scope, headers, receive, answer, spoken)
        except BaseException:
            status = 500 if status == 499 else status
            raise
        finally:
            self._metrics.open.dec()
            self._note(scope, method, status, spoken)

    async def _pass(self, scope: Scope, headers: Headers, receive: Receive, send: Send, spoken: Spoken) -> None:
        speaker: Key | None = None
        try:
            self._refuse_strange(scope, headers)
            if not _is_open(scope):
                key = self._keys.owner(headers.get("authorization"))
                spoken.key = key.name
                key.take()
                if _path(scope) == SPEECH_PATH:
                    key.begin_speech()
                    speaker = key
        except GatewayError as error:
            await errors.response(error)(scope, receive, send)
            return
        try:
            await self._app(scope, _Bounded(receive, self._max_body, self._seconds), send)
        finally:
            if speaker is not None:
                speaker.end_speech()

    def _refuse_strange(self, scope: Scope, headers: Headers) -> None:
        """Raise GatewayError for a path that no client means, and for what another site's page has a browser send."""
        if not scope["path"].isprintable():
            raise GatewayError(404, "There is no such path.")
        is_foreign = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        if is_foreign and headers.get("origin") not in self._origins and scope["method"] not in _HARMLESS:
            raise GatewayError(403, "Pages of other origins may not call; --cors names those that may.", code="foreign")

    def _note(self, scope: Scope, method: str, status: int, spoken: Spoken) -> None:
        route = scope.get("route")
        path = getattr(route, "path", "none")  # the path itself may be anything
        seconds = time.monotonic() - spoken.started_at
        self._metrics.requests.labels(path, method if route and method in _METHODS else "any", status).inc()
        self._metrics.duration.labels(path).observe(seconds)
        if path.startswith("/health") and status == HTTPStatus.OK:
            return  # somebody asks all the time
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "request_id": spoken.request_id,
            "key": spoken.key,
            "method": method,
            "route": path,
            "status": status,
            "seconds": round(seconds, 4),
            **spoken.line(),
        }
        logger.info("%s", json.dumps(line, ensure_ascii=False))


def _path(scope: Scope) -> str:
    """The path as the routes know it, wherever a proxy has mounted them."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def _is_open(scope: Scope) -> bool:
    path = _path(scope)
    # A browser asks what it may without a key.
    return path in _OPEN or path.startswith(_OPEN_BELOW) or scope["method"] == "OPTIONS"


class _Any:
    def __contains__(self, origin: object) -> bool:
        return True


class _Bounded:
    """ASGI's `receive`, of a body of at most so many bytes, whose parts follow each other within so many seconds."""

    def __init__(self, receive: Receive, max_body: int, seconds: float) -> None:
        self._receive, self._max_body, self._left = receive, max_body, max_body
        self._seconds: float | None = seconds  # until the body is there

    async def __call__(self) -> Message:
        try:
            message = await asyncio.wait_for(self._receive(), self._seconds)
        except TimeoutError:
            raise HTTPException(408, "The body did not come in time") from None
        if not message.get("more_body", False):
            self._seconds = None
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413, f"The body has more than {self._max_body} bytes")
        return message
