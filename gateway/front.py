"""What every request passes first: its id, its key, the limits of its body; and what it leaves: a metric and a line."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import time
import uuid
from dataclasses import dataclass
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import errors
from gateway.errors import GatewayError
from gateway.keys import Caller, Key, Keys
from gateway.metrics import Metrics, Spoken
from gateway.settings import Settings

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
SPEECH_PATH = "/v1/audio/speech"
NOBODY = 499  # the status in logs and metrics of an answer for which nobody waited
# Open to everybody, even where keys are needed: a link to the page cannot carry one.
_OPEN, _OPEN_BELOW = {"/", "/docs", "/openapi.json", "/health"}, ("/page/", "/health/")
_HARMLESS = {"GET", "HEAD", "OPTIONS"}
SOCKET = "websocket"  # the type of its scope
_METHODS = {"GET", "HEAD", "POST", "DELETE", "OPTIONS", SOCKET.upper()}
_SPEECH = re.compile(rf"{SPEECH_PATH}$|/v1/text-to-speech/")
_KEY_MAY_FOLLOW = "stream-input"  # the end of the paths whose first message may bring the key
_LONGEST_BODIES = 16  # of the greatest size: what all open requests may hold together


class Front:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, metrics: Metrics, keys: Keys, settings: Settings) -> None:
        self._app, self._metrics, self._keys, self._settings = app, metrics, keys, settings
        self._origins = _Any() if "*" in settings.cors else settings.cors
        self._bodies = _Bodies(settings.max_body, _LONGEST_BODIES * settings.max_body, settings.write_timeout)
        self._open = 0
        # The names it answers to. A site may have its own name lead to this machine (DNS rebinding).
        self._hosts = None if keys or not _is_local(settings.host) else {"localhost", *settings.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", SOCKET):
            await self._app(scope, receive, send)
            return
        headers, method = Headers(scope=scope), scope.get("method", SOCKET.upper())
        if method == "HEAD":  # answered as GET; the web server leaves the body out
            scope = {**scope, "method": "GET"}
        given = headers.get("x-request-id", "")
        spoken = Spoken(self._metrics, given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex)
        caller = Caller(self._keys, spoken)
        scope.setdefault("state", {}).update(spoken=spoken, caller=caller)
        status = NOBODY  # it stays that when the client left before an answer

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "websocket.close" and status == NOBODY:  # no route took it
                await errors.response(GatewayError(404, "There is no such path."))(scope, receive, answer)
                return
            if message["type"].endswith((".response.start", ".accept")):
                status = message.get("status", HTTPStatus.SWITCHING_PROTOCOLS)
                MutableHeaders(scope=message)["x-request-id"] = spoken.request_id
            await send(message)

        self._metrics.open.inc()
        self._open += 1
        try:
            await self._pass(scope, headers, receive, answer, caller)
        except BaseException:
            status = 500 if status == NOBODY else status
            raise
        finally:
            self._metrics.open.dec()
            self._open -= 1
            self._note(scope, method, status, spoken)

    async def _pass(self, scope: Scope, headers: Headers, receive: Receive, send: Send, caller: Caller) -> None:
        speaker: Key | None = None
        try:
            self._refuse_strange(scope, headers)
            header = _given(headers)
            may_say_it_first = scope["type"] == SOCKET and scope["path"].endswith(_KEY_MAY_FOLLOW)
            if not _is_open(scope) and not (header is None and may_say_it_first):
                key = caller.identify(header)
                if scope["type"] == "http" and _SPEECH.match(_path(scope)):
                    key.begin_speech()
                    speaker = key
        except GatewayError as error:
            await errors.response(error)(scope, receive, send)
            return
        if scope["type"] == SOCKET:  # its messages and speeches are counted one by one
            await self._app(scope, receive, send)
            return
        body = _Body(receive, self._bodies)
        try:
            await self._app(scope, body, send)
        finally:
            body.forget()
            if speaker is not None:
                speaker.end_speech()

    def _refuse_strange(self, scope: Scope, headers: Headers) -> None:
        """Raise GatewayError for a path that no client means, for what another site's page has a browser send, and for
        one request too many."""
        if not scope["path"].isprintable():
            raise GatewayError(404, "There is no such path.")
        if self._open > self._settings.max_requests and not _path(scope).startswith("/health/"):
            raise GatewayError(503, f"{self._settings.max_requests} requests are open already.", code="too_many_open")
        if self._hosts is not None and not _is_called(headers.get("host", ""), self._hosts):
            raise GatewayError(
                403, "A gateway without keys answers to this host name only with --allow-host.", code="foreign"
            )
        if _is_foreign(scope, headers) and headers.get("origin") not in self._origins:
            raise GatewayError(403, "Pages of other origins may not call; --cors names those that may.", code="foreign")

    def _note(self, scope: Scope, method: str, status: int, spoken: Spoken) -> None:
        route = scope.get("route")
        path = getattr(route, "path", "none")  # the path itself may be anything
        self._metrics.requests.labels(path, method if route and method in _METHODS else "any", status).inc()
        self._metrics.duration.labels(path).observe(time.monotonic() - spoken.started_at)
        if path.startswith("/health") and status == HTTPStatus.OK:
            return  # somebody asks all the time
        spoken.leave_line(method=method, route=path, status=status)


def _path(scope: Scope) -> str:
    """The path as the routes know it, wherever a proxy has mounted them."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def _is_open(scope: Scope) -> bool:
    path = _path(scope)
    # A browser asks what it may without a key.
    return path in _OPEN or path.startswith(_OPEN_BELOW) or scope.get("method") == "OPTIONS"


def _given(headers: Headers) -> str | None:
    """The key that a request brings, as an Authorization header would; ElevenLabs' clients have another one."""
    key = headers.get("xi-api-key")
    return f"Bearer {key}" if key else headers.get("authorization")


def _is_foreign(scope: Scope, headers: Headers) -> bool:
    """Whether another site's page has a browser ask for more than to be shown something."""
    site, origin = headers.get("sec-fetch-site", ""), headers.get("origin")
    if scope["type"] == SOCKET and not site and origin is not None:  # older browsers say only where they are
        return origin.partition("://")[2] != headers.get("host")
    return site not in ("", "none", "same-origin") and scope.get("method") not in _HARMLESS


class _Any:
    def __contains__(self, origin: object) -> bool:
        return True


def _is_local(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_called(host: str, names: set[str]) -> bool:
    """Whether the header Host has one of the names, or an address, or nothing."""
    name = host.rpartition(":")[0] if re.search(r":\d*$", host) else host
    return not name or name.lower() in names or _is_address(name.strip("[]"))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@dataclass
class _Bodies:
    """What bodies may take: `most` bytes each and `together`, with so many seconds between their parts."""

    most: int
    together: int
    seconds: float
    held: int = 0


class _Body:
    """ASGI's `receive`, of a body within its limits. It counts until `forget`."""

    def __init__(self, receive: Receive, bodies: _Bodies) -> None:
        self._receive, self._bodies, self._size = receive, bodies, 0
        self._seconds: float | None = bodies.seconds  # longest wait for the next part; None once all have come

    async def __call__(self) -> Message:
        try:
            message = await asyncio.wait_for(self._receive(), self._seconds)
        except TimeoutError:
            raise HTTPException(408, "The body did not come in time") from None
        if not message.get("more_body", False):
            self._seconds = None
        nbytes = len(message.get("body", b""))
        self._size += nbytes
        self._bodies.held += nbytes
        if self._size > self._bodies.most:
            raise HTTPException(413, f"The body has more than {self._bodies.most} bytes")
        if self._bodies.held > self._bodies.together:
            raise HTTPException(503, "The bodies of the open requests are too large together; try again")
        return message

    def forget(self) -> None:
        """The request is over."""
        self._bodies.held -= self._size
