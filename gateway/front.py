"""What every request passes first: its id, its key, the limits of its body; and what it leaves: a metric and a line."""

from __future__ import annotations

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
_CLOSED = ("/v1/", "/metrics")  # to those without a key, where keys are needed


class Front:
    """Wraps the application. max_body: bytes of a request's body."""

    def __init__(self, app: ASGIApp, metrics: Metrics, keys: Keys, max_body: int) -> None:
        self._app, self._metrics, self._keys, self._max_body = app, metrics, keys, max_body

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
            if (
                scope["path"].startswith(_CLOSED) and scope["method"] != "OPTIONS"
            ):  # a browser asks before without a key
                key = self._keys.owner(headers.get("authorization"))
                spoken.key = key.name
                key.take()
                if scope["path"] == SPEECH_PATH:
                    key.begin_speech()
                    speaker = key
        except GatewayError as error:
            await errors.response(error)(scope, receive, send)
            return
        try:
            await self._app(scope, _Bounded(receive, self._max_body), send)
        finally:
            if speaker is not None:
                speaker.end_speech()

    def _note(self, scope: Scope, method: str, status: int, spoken: Spoken) -> None:
        route = scope.get("route")
        path = getattr(route, "path", "none")  # the path itself may be anything
        seconds = time.monotonic() - spoken.started_at
        self._metrics.requests.labels(path, method if route else "any", status).inc()
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


class _Bounded:
    """ASGI's `receive`, of a body of at most so many bytes."""

    def __init__(self, receive: Receive, max_body: int) -> None:
        self._receive, self._max_body, self._left = receive, max_body, max_body

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413, f"The body has more than {self._max_body} bytes")
        return message
