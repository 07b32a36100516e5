"""What tests ask of an engine: orders for streams of random prompts, and the codes that come back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from runtime.engine.delay_pattern import delay
from runtime.engine.trtllm.engine import TrtllmEngine
from runtime.engine.types import (
    AudioSegment,
    CodebookLayout,
    Limits,
    Prompt,
    Request,
    SamplingParameters,
    TextSegment,
    WindowPlan,
)

FRAMES = 100
LIMITS = Limits(max_streams=8, max_waiting=8, max_positions=2048, prefill_tokens_per_step=32, context_frames=10)
GREEDY = SamplingParameters(temperature=0.0, top_k=0, top_p=1.0, ras_window=0, ras_max_repeats=1, seed=0)
SAMPLING = SamplingParameters(temperature=1.0, top_k=50, top_p=0.95, ras_window=7, ras_max_repeats=2, seed=11)


def order(name: str, prompt: Prompt, sampling: SamplingParameters = GREEDY, frames: int = FRAMES) -> Request:
    return Request(name, prompt, sampling, WindowPlan(2, 1.5, 20), frames, timeout=300.0)


def random_prompt(number: int, layout: CodebookLayout, clip_frames: int = 0) -> Prompt:
    random = np.random.default_rng(number)
    text = TextSegment(random.integers(0, 256, 20 + number))
    if not clip_frames:
        return Prompt((text,))
    spoken = delay(random.integers(0, layout.first_special_id, (layout.num_codebooks, clip_frames)), layout)
    return Prompt((text, AudioSegment(spoken), TextSegment(random.integers(0, 256, 11))))


def invite_visitors(engine: TrtllmEngine) -> None:
    """More streams than there are places, short and long, with clips and without: they join as others end."""
    for number in range(14):
        sampling = replace(SAMPLING, seed=number)
        prompt = random_prompt(number, engine.description.layout, clip_frames=(number % 3) * 7)
        engine.submit(order(f"visitor{number}", prompt, sampling, frames=3 + 9 * (number % 7)), lambda event: None)
