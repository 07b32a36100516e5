"""Whether the gateway runs, and whether its server speaks; and what clients of other servers probe for."""

from __future__ import annotations

import asyncio
import time

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from higgs_tts import (
    AsyncHiggsClient,
    GenerationParams,
    GenerationTimeoutError,
    HiggsError,
    OverloadedError,
    StreamStalledError,
)

from gateway.errors import GatewayError
from gateway.metrics import Metrics

_KEEP_SECONDS = 5.0  # a verdict, however many ask
_SPEAK_SECONDS = 10.0
_SPEECH_SECONDS = 0.2  # the shortest that passes every model

router = APIRouter(tags=["operations"])


class Readiness:
    """Lets the server speak a fifth of a second, at most every few seconds. One that speaks to others is ready."""

    def __init__(self, client: AsyncHiggsClient, metrics: Metrics) -> None:
        self._client, self._metrics = client, metrics
        self._fault: str | None = None
        self._old_at = 0.0
        self._lock = asyncio.Lock()

    async def fault(self) -> str | None:
        """Why the server does not speak; None when it does."""
        async with self._lock:
            if time.monotonic() > self._old_at:
                self._fault = await self._ask()
                self._old_at = time.monotonic() + _KEEP_SECONDS
            return self._fault

    async def _ask(self) -> str | None:
        started = time.monotonic()
        params = GenerationParams(max_seconds=_SPEECH_SECONDS, timeout_seconds=_SPEAK_SECONDS)
        try:
            speech = await self._client.synthesize("Hello.", params=params, timeout=_SPEAK_SECONDS)
        except OverloadedError:
            return None
        except (GenerationTimeoutError, StreamStalledError) as error:  # others may have all its streams
            return None if self._metrics.heard_at > started else str(error)
        except HiggsError as error:
            return str(error)
        return None if len(speech.samples) else "The server spoke nothing."


@router.get("/health/live")
async def live() -> dict[str, str]:
    """The gateway runs."""
    return {"status": "ok"}


@router.get("/health/ready")
async def ready(request: Request) -> dict[str, str]:
    """The server spoke when it was last asked, at most some seconds ago, or is busy speaking to others."""
    fault = await request.app.state.readiness.fault()
    if fault is not None:
        raise GatewayError(503, fault)
    return {"status": "ok"}


@router.get("/health", response_class=PlainTextResponse)
async def health() -> str:
    """As Speaches answers."""
    return "OK"


@router.get("/v1/test")
async def test() -> dict[str, str]:
    """As Kokoro-FastAPI answers: wyoming_openai then reads `/v1/audio/voices`."""
    return {"status": "ok"}


@router.get("/v1/", response_class=Response)
async def prewarm() -> Response:
    """LiveKit opens its connection with it."""
    return Response()
