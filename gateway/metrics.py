"""What operators watch, in Prometheus' format and units, and the line that each request leaves in the log."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from fastapi import APIRouter, Request, Response
from higgs_tts import AudioChunk, FinishReason
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from gateway.copies import Copy

_SECONDS = (0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60)
_FACTORS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5, 2, 4)
_ENDS = get_args(FinishReason)  # of speeches that came to one
_STARVED = (0, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)

disable_created_metrics()  # a series more for each, which nobody reads

logger = logging.getLogger("gateway.requests")
router = APIRouter(tags=["operations"])


class Metrics:
    """Of one gateway."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.heard_at = -math.inf  # when audio last came from the server, for whomever; of time.monotonic()
        ProcessCollector(registry=self.registry)

        def histogram(name: str, meaning: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"higgs_gateway_{name}", meaning, labels, registry=self.registry, buckets=buckets)

        def counter(name: str, meaning: str, labels: tuple[str, ...] = ()) -> Counter:
            return Counter(f"higgs_gateway_{name}", meaning, labels, registry=self.registry)

        self.requests = counter("requests", "Requests that were answered.", ("route", "method", "status"))
        self.duration = histogram("request_seconds", "From a request to its last byte.", ("route",), _SECONDS)
        self.open = Gauge("higgs_gateway_open_requests", "Requests in progress.", registry=self.registry)
        self.speeches = counter("speeches", "Speeches by how they ended.", ("outcome", "format", "voice"))
        self.first_audio = histogram(
            "time_to_first_audio_seconds", "From a request to its first audio from the server.", (), _SECONDS
        )
        self.first_byte = histogram(
            "time_to_first_byte_seconds", "From a request to its first encoded byte.", ("format",), _SECONDS
        )
        self.real_time_factor = histogram("real_time_factor", "Seconds a second of audio took.", (), _FACTORS)
        self.interval = histogram("chunk_interval_seconds", "Between two chunks of one stream.", (), _SECONDS)
        self.starved = histogram(
            "starved_seconds", "How long a player that starts at the first byte had nothing to play.", (), _STARVED
        )
        self.unstarved = counter("unstarved_speeches", "Speeches of which a player always had something to play.")
        self.cached = counter("cached_answers", "Answers that were given again without asking the server.")
        self.audio = counter("audio_seconds", "Seconds of audio that the server spoke.")
        self.stored = counter("stored", "Speeches for the store, by what became of them.", ("outcome",))
        self.store_waiting = Gauge(
            "higgs_gateway_store_waiting_bytes",
            "Memory that speeches on their way to the store take.",
            registry=self.registry,
        )


@dataclass
class Spoken:
    """One request's way, from its arrival on; its speech, if it makes one. Each speech of a socket has its own."""

    metrics: Metrics
    request_id: str
    started_at: float = field(default_factory=time.monotonic)
    key: str | None = None
    format: str = ""
    voice: str = ""
    speed: float = 1.0
    higgs_request_id: str | None = None
    outcome: str = ""
    first_audio_seconds: float = 0.0
    audio_seconds: float = 0.0
    bytes_sent: int = 0
    starved_seconds: float = 0.0
    text: str | None = None
    waits_for_text: bool = False  # so how long it took says nothing
    copy: Copy | None = None  # what goes to the store, too
    sent_seconds: float | None = None  # of the server's audio; None: all that it spoke
    _copied_seconds: float = 0.0  # of it, that are in copies of before
    _last_audio_at: float | None = None
    _plays_from: float | None = None

    def begin(self, format_name: str, voice: str, speed: float = 1.0) -> None:
        """Which format it takes, whether a voice is `named`, a `clip` or `none`, and how fast it is played."""
        self.format, self.voice, self.speed = format_name, voice, speed

    def hears(self, chunk: AudioChunk) -> None:
        """A chunk came from the server. When it came counts, not when a client that reads slowly lets us take it."""
        if not len(chunk.samples):
            return
        self.metrics.heard_at = chunk.received_at
        if self._last_audio_at is None:
            self.first_audio_seconds = chunk.received_at - self.started_at
            self.metrics.first_audio.observe(self.first_audio_seconds)
        else:
            self.metrics.interval.observe(chunk.received_at - self._last_audio_at)
        if self._plays_from is not None:
            dry = chunk.received_at - (self._plays_from + self.audio_seconds / self.speed)
            if dry > 0:
                self.starved_seconds += dry
                self._plays_from += dry
        self._last_audio_at = chunk.received_at
        self.audio_seconds += len(chunk.samples) / chunk.sample_rate

    def sends(self, data: bytes) -> None:
        """Bytes leave for the client."""
        if not self.bytes_sent and data:
            self._plays_from = time.monotonic()
            self.metrics.first_byte.labels(self.format).observe(self._plays_from - self.started_at)
        self.bytes_sent += len(data)
        if self.copy is not None:
            self.copy.add(data)

    def end_copy(self, outcome: str, about: Mapping[str, str], then: Copy | None = None) -> None:
        """The file that is copied is whole, or not, by how it ended. about: what else is stored of it. then: the next
        one of the same speech."""
        copy, self.copy = self.copy, then
        if copy is None:
            return
        sent = self.audio_seconds if self.sent_seconds is None else self.sent_seconds
        seconds, self._copied_seconds = (sent - self._copied_seconds) / self.speed, sent
        if outcome in _ENDS:
            copy.end({"finish-reason": outcome, "audio-seconds": f"{seconds:.3f}", **about})
        else:
            copy.leave()

    def ends(self, outcome: str, about: Mapping[str, str] | None = None) -> None:
        """The speech is over, for a finish reason, by an error's class, or because its client has `gone`. about: what
        else is stored of it."""
        if self.outcome:
            return
        self.outcome = outcome
        self.end_copy(outcome, about or {}, then=self.copy)
        self.metrics.speeches.labels(outcome, self.format, self.voice).inc()
        self.metrics.audio.inc(self.audio_seconds)
        if outcome in ("stop", "length") and self._last_audio_at is not None:
            if not self.waits_for_text:
                self.metrics.real_time_factor.observe((self._last_audio_at - self.started_at) / self.audio_seconds)
            self.metrics.starved.observe(self.starved_seconds)
            if not self.starved_seconds:
                self.metrics.unstarved.inc()

    def leave_line(self, **about: Any) -> None:
        """Write a line of JSON into the log. about: what else it says."""
        if self.copy is not None:
            self.copy.leave()  # where nobody came to hear it
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "request_id": self.request_id,
            "key": self.key,
            **about,
            "seconds": round(time.monotonic() - self.started_at, 4),
            **self._line(),
        }
        logger.info("%s", json.dumps(line, ensure_ascii=False))

    def _line(self) -> dict[str, Any]:
        """What the log says of its speech."""
        if not self.outcome:
            return {}
        return {
            "outcome": self.outcome,
            "format": self.format,
            "voice": self.voice,
            "higgs_request_id": self.higgs_request_id,
            "first_audio_seconds": round(self.first_audio_seconds, 4),
            "audio_seconds": round(self.audio_seconds, 3),
            "starved_seconds": round(self.starved_seconds, 3),
            "bytes": self.bytes_sent,
            **({"stored_as": self.copy.name} if self.copy is not None else {}),
            **({"text": self.text} if self.text is not None else {}),
        }


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Metrics in Prometheus' text format."""
    return Response(generate_latest(request.app.state.services.metrics.registry), media_type=CONTENT_TYPE_LATEST)
