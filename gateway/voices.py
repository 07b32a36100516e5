"""The server's voices, as Open WebUI, Kokoro's and vLLM-Omni's clients list them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from gateway.services import services

router = APIRouter(tags=["voices"])


@router.get("/v1/audio/voices")
async def list_voices(request: Request) -> dict[str, Any]:
    """All voices, sorted by name."""
    found = await services(request).voices.voices()
    return {"voices": [{"id": name, "name": name} for name in found]}
