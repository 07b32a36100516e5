"""The names under which the one model answers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from gateway.errors import GatewayError, shortened
from gateway.services import services

DEFAULT_MODEL = "higgs-audio-v2"
# OpenAI's own names, which many clients cannot leave out, and the weights' name on the hub.
ALIASES = (
    "tts-1",
    "tts-1-hd",
    "gpt-4o-mini-tts",
    "gpt-4o-mini-tts-2025-12-15",
    "bosonai/higgs-audio-v2-generation-3B-base",
)
NAMES = (DEFAULT_MODEL, *ALIASES)
_CREATED = 1_753_142_400  # when Boson AI published the weights, 22 July 2025

router = APIRouter(tags=["models"])


def check_model(name: str) -> None:
    """Raises GatewayError unless it is a name of the model."""
    if name not in NAMES:
        raise GatewayError(
            404, f"There is no model {shortened(name)!r}; this is {DEFAULT_MODEL}.", "model", "model_not_found"
        )


def _described(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "bosonai"}


@router.get("/v1/models")
async def list_models() -> dict[str, Any]:
    """The model, under each of its names."""
    return {"object": "list", "data": [_described(name) for name in NAMES]}


@router.get("/v1/audio/models")
async def list_audio_models() -> dict[str, Any]:
    """The same, as Open WebUI asks."""
    return {"models": [{"id": name} for name in NAMES]}


@router.get("/v1/models/{name:path}")
async def show_model(name: str, request: Request) -> dict[str, Any]:
    """One name of the model, and the voices that it has, as Speaches says."""
    check_model(name)
    voices = await services(request).voices.voices(fresh=False)
    return _described(name) | {"voices": [{"name": voice} for voice in voices]}
