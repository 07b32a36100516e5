"""Requests for an engine over the demo-size model, and who listens to them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from runtime.engine.contract import Event, SpeechEngine
from runtime.engine.types import (
    FrameWindow,
    Limits,
    Prompt,
    Request,
    SamplingParameters,
    TextSegment,
    WindowPlan,
)
from runtime.formats.errors import RequestError

LIMITS = Limits(max_streams=4, max_waiting=4, max_positions=1024, prefill_tokens_per_step=32, context_frames=10)
SAMPLING = SamplingParameters(temperature=1.0, top_k=50, top_p=0.95, ras_window=7, ras_max_repeats=2, seed=3)
ENDLESS = replace(SAMPLING, temperature=0.0, ras_window=0)  # the demo model never ends when greedy


def order(name: str, positions: int = 30, frames: int = 40, **changes: object) -> Request:
    ids = np.random.default_rng(positions).integers(0, 256, positions)
    values: dict[str, object] = {"sampling": SAMPLING, "windows": WindowPlan(2, 1.5, 20), "timeout": 60.0}
    return Request(request_id=name, prompt=Prompt((TextSegment(ids),)), max_frames=frames, **(values | changes))


def codes(windows: list[FrameWindow]) -> np.ndarray:
    return np.concatenate([w.codes[:, w.context : w.context + w.count] for w in windows], axis=1)


def collect(
    engine: SpeechEngine, request: Request, at_the_end: Callable[[], None] = lambda: None
) -> tuple[list[Event], threading.Event]:
    events: list[Event] = []
    over = threading.Event()

    def on_event(event: Event) -> None:
        events.append(event)
        if isinstance(event, RequestError) or event.finish_reason:
            at_the_end()
            over.set()

    engine.submit(request, on_event)
    return events, over
