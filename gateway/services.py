"""What the handlers of all requests share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from fastapi import Request
from higgs_tts import AsyncHiggsClient

from gateway.cache import SpeechCache
from gateway.metrics import Metrics
from gateway.settings import Settings
from gateway.voice_names import VoiceNames

if TYPE_CHECKING:  # it needs what needs this
    from gateway.store import Store


@dataclass(frozen=True)
class Services:
    """client: of the one Triton. voices: what its voices are called here. cache: of answers, store: of speech, if
    any."""

    settings: Settings
    client: AsyncHiggsClient
    voices: VoiceNames
    metrics: Metrics
    cache: SpeechCache | None
    store: Store | None


def services(request: Request) -> Services:
    """Those of the application that serves the request."""
    return cast(Services, request.app.state.services)
