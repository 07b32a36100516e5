"""Requests of all kinds over the demo-size model's alphabet, and what an engine answers to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from runtime.engine.contract import SpeechEngine
from runtime.engine.delay_pattern import delay
from runtime.engine.types import AudioSegment, CodebookLayout, Prompt, Request, Segment, TextSegment
from tests.engine.orders import ENDLESS, SAMPLING, codes, collect, order

PATIENCE = 400.0  # seconds; two workers on two busy cores take minutes
LAYOUT = CodebookLayout(8, 1026, 1024, 1025)


def clip(seed: int, frames: int) -> AudioSegment:
    """A clip of random codes."""
    return AudioSegment(delay(np.random.default_rng(seed).integers(0, 1024, (8, frames)), LAYOUT))


def spoken_after(name: str, *segments: Segment, frames: int = 20, seed: int = 0) -> Request:
    """A sampled request with this prompt."""
    request = order(name, 1, frames, timeout=PATIENCE, sampling=replace(SAMPLING, temperature=0.7, seed=seed))
    return replace(request, prompt=Prompt(segments))


def mixed(count: int) -> list[Request]:
    """Requests of growing prompts and lengths: every third greedy, every other with a clip."""
    requests = []
    for number in range(count):
        text = TextSegment(np.random.default_rng(number).integers(0, 256, 10 + 13 * number % 90))
        segments = (text, clip(number, 5 + number % 17), TextSegment(np.arange(4))) if number % 2 else (text,)
        request = spoken_after(f"{number}", *segments, frames=10 + 7 * number % 40, seed=number)
        requests.append(replace(request, sampling=ENDLESS) if number % 3 == 0 else request)
    return requests


def answers(engine: SpeechEngine, requests: Sequence[Request], seconds: float = PATIENCE) -> list[np.ndarray]:
    """The codes of requests that are all submitted at once."""
    heard = [collect(engine, request) for request in requests]
    for _, over in heard:
        assert over.wait(seconds)
    for events, _ in heard:
        if isinstance(events[-1], Exception):
            raise events[-1]
    return [codes(events) for events, _ in heard]


def equal(some: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> int:
    """How many of two lists are equal."""
    return sum(np.array_equal(a, b) for a, b in zip(some, others, strict=True))
