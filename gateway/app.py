"""The application: its routes, and what stands before them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from higgs_tts import AsyncHiggsClient, HiggsError, __version__
from starlette.exceptions import HTTPException

from gateway import consents, elevenlabs, errors, health, metrics, models, page, sockets, speech, voices
from gateway.cache import SpeechCache
from gateway.errors import GatewayError
from gateway.front import Front
from gateway.health import Readiness
from gateway.keys import Keys
from gateway.metrics import Metrics
from gateway.openapi import ERRORS, DescribedApp
from gateway.services import Services
from gateway.settings import Settings
from gateway.store import Store
from gateway.voice_names import VoiceNames

_WAITING_THREADS = 64


def create_app(settings: Settings) -> FastAPI:
    """Its `state.stops_at` is when it has to have ended, of time.monotonic(), once that is known.

    Raises ValueError with one sentence for keys or names that are none, HiggsError for an address that is none.
    """
    keys, measured = Keys(settings.keys, settings.keys_file), Metrics()
    cache = SpeechCache(settings.cache, settings.cache_bytes) if settings.cache else None
    store = Store(settings, measured) if settings.store else None
    credentials = None
    if settings.triton_root is not None:
        files = (settings.triton_root, settings.triton_key, settings.triton_cert)
        credentials = grpc.ssl_channel_credentials(*(file and file.read_bytes() for file in files))
    client = AsyncHiggsClient(settings.triton, credentials=credentials)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.services = Services(settings, client, VoiceNames(client, settings.aliases), measured, cache, store)
        app.state.stops_at = time.monotonic()
        app.state.readiness = Readiness(client, measured)
        # Most of what waits in a thread waits for the server.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_WAITING_THREADS, "waiting"))
        async with AsyncExitStack() as stack:
            stack.push_async_callback(client.close)
            if store is not None:
                stack.push_async_callback(_closed, store, app)
            if settings.wyoming is not None:
                port = sockets.wyoming.listening(settings.wyoming, app.state.services)
                app.state.wyoming = await stack.enter_async_context(port)
            yield

    app = DescribedApp(
        title="Higgs Audio V2",
        description="Speech over HTTP, as OpenAI's clients ask for it.",
        version=__version__,
        lifespan=lifespan,
        responses=ERRORS,
        docs_url=None,  # `page` has it, without a CDN
        redoc_url=None,
    )
    for module in (speech, voices, consents, models, health, metrics, page, elevenlabs):
        app.include_router(module.router)
    for protocol in (sockets.elevenlabs, sockets.dialogue, sockets.vllm_omni):
        app.include_router(protocol.router)
    for kind in (GatewayError, HiggsError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, errors.on_error)
    app.add_middleware(Front, metrics=measured, keys=keys, settings=settings)
    if settings.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["*"],
        )
    return app


async def _closed(store: Store, app: FastAPI) -> None:
    """What was spoken is stored, in what is left of the time for that."""
    await store.close(app.state.stops_at - time.monotonic())
