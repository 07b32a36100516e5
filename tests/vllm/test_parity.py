"""The same codes as our own engine, whose logits are transformers' (tests/engine): alone, among others, in a storm."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtime.engine.contract import SpeechEngine
from runtime.engine.types import FinishReason, FrameWindow, TextSegment
from runtime.engine.vllm.engine import VllmEngine
from tests.engine.orders import ENDLESS, SAMPLING, collect, order
from tests.vllm.conftest import IN_PROCESS, LIMITS, started
from tests.vllm.requests import answers, clip, equal, mixed, spoken_after

STREAMS = 64
BLOCK = 128  # positions, the CPU's


@pytest.fixture(scope="module")
def expected(ours: SpeechEngine) -> list[np.ndarray]:
    """What our own engine speaks, whose codes are the same in any company (tests/engine/test_prefix_reuse.py)."""
    return answers(ours, mixed(STREAMS))


def test_sixteen_alone(engine: VllmEngine, expected: list[np.ndarray]) -> None:
    assert equal([answers(engine, [request])[0] for request in mixed(16)], expected[:16]) == 16


def test_sixty_four_join_and_leave_eight_places(
    engine: VllmEngine, expected: list[np.ndarray], figure: Callable[[str, str], None]
) -> None:
    same = equal(answers(engine, mixed(STREAMS)), expected)
    figure("vLLM: streams equal to our engine's, 64 in 8 places", f"{same} of {STREAMS}")
    assert same == STREAMS


def test_clips_of_one_length_behind_one_text_never_collide_and_equal_ones_are_reused(
    engine: VllmEngine, ours: SpeechEngine
) -> None:
    text = TextSegment(np.random.default_rng(1).integers(0, 256, 200))
    requests = [
        spoken_after(f"{voice}.{turn}", text, clip(100 + voice, 150), TextSegment(np.arange(turn + 3)))
        for turn in range(3)
        for voice in range(3)
    ]
    whole = [answers(ours, [request])[0] for request in requests]
    before = engine.stats().prefix_positions_reused
    assert equal([answers(engine, [request])[0] for request in requests], whole) == len(requests)
    reused = engine.stats().prefix_positions_reused - before
    # Each prompt has two whole blocks. The first is text alone, which another voice's first turn finds too.
    assert reused == 2 * BLOCK + 6 * 2 * BLOCK


def test_what_one_stream_has_spoken_is_not_found_for_another_in_its_place(
    engine: VllmEngine, ours: SpeechEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same prompt, same place, and so the same ids behind it; the second is dropped and read again."""
    text = TextSegment(np.random.default_rng(9).integers(0, 256, BLOCK - 8))
    second = replace(spoken_after("second", text, frames=60), sampling=ENDLESS)
    whole = answers(ours, [second])
    answers(engine, [spoken_after("first", text, frames=40, seed=1)])
    scheduler = engine._vllm.engine_core.engine_core.scheduler
    schedule, steps = scheduler.schedule, itertools.count()

    def interrupted(*args: object) -> object:
        if next(steps) in (40, 50):
            scheduler._preempt_request(scheduler.running.pop(), time.monotonic())
        return schedule(*args)

    monkeypatch.setattr(scheduler, "schedule", interrupted)
    assert equal(answers(engine, [second]), whole) == 1
    assert next(steps) > 50


def test_a_hundred_and_ten_cancels_leave_nothing(engine: VllmEngine, expected: list[np.ndarray]) -> None:
    rng = random.Random(2)
    before = engine.stats().cancelled
    streams = [collect(engine, order(f"long{number}", 20 + number, 900, sampling=ENDLESS)) for number in range(110)]
    numbers = list(range(110))
    rng.shuffle(numbers)
    for number in numbers:
        assert engine.cancel(f"long{number}")
        time.sleep(rng.random() * 0.02)
    for events, over in streams:
        assert over.wait(10)
        assert isinstance(events[-1], FrameWindow) and events[-1].finish_reason == FinishReason.CANCELLED
    stats = engine.stats()
    assert (stats.live_streams, stats.waiting_requests, stats.cancelled - before) == (0, 0, 110)
    assert equal(answers(engine, mixed(16)), expected[:16]) == 16


def test_streams_whose_keys_and_values_are_dropped_again_and_again_speak_the_same(
    weights: Path,
    ours: SpeechEngine,
    expected: list[np.ndarray],
    figure: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A cache for half of eight streams: vLLM drops some and reads them again, in pieces, with what they spoke.

    Twice the same prompts, with other speech behind them: what the first ones spoke must not be found for the second.
    """
    blocks, position_bytes = 10, 2 * 5 * 2 * 32 * 4
    small = replace(IN_PROCESS, kv_cache_bytes=blocks * BLOCK * position_bytes)
    rounds = [
        [
            replace(request, max_frames=260, sampling=replace(SAMPLING, temperature=1.5, seed=100 * turn + number))
            for number, request in enumerate(mixed(8))
        ]
        for turn in range(2)
    ]
    with started(weights, replace(LIMITS, max_positions=512), small) as engine:
        scheduler = engine._vllm.engine_core.engine_core.scheduler
        drop, dropped = scheduler._preempt_request, []

        def counted(*args: object, **more: object) -> None:
            dropped.append(args)
            drop(*args, **more)

        monkeypatch.setattr(scheduler, "_preempt_request", counted)
        for requests in rounds:
            before = len(dropped)
            assert equal(answers(engine, requests), answers(ours, requests)) == len(requests)
            assert len(dropped) > before
        figure("vLLM: streams dropped and read again, 8 in a cache for fewer", f"{len(dropped)}")
        assert equal(answers(engine, mixed(STREAMS)), expected) == STREAMS
