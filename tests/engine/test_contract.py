"""What every engine promises its caller, over the real demo model: here ONNX Runtime's, in tests/vllm vLLM's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtime.engine.contract import Event, SpeechEngine
from runtime.engine.delay_pattern import delay
from runtime.engine.inflight.engine import Engine
from runtime.engine.inflight.onnx_runner import OnnxRunner
from runtime.engine.types import AudioSegment, CodebookLayout, FinishReason, FrameWindow, Prompt, TextSegment
from runtime.formats.errors import GenerationTimeoutError, InvalidRequestError, OverloadedError
from tests.engine.orders import ENDLESS, LIMITS, SAMPLING, codes, collect, order
from tools.bench.listening import listen


@pytest.fixture
def engine(bundle: Path) -> Iterator[SpeechEngine]:
    weights = bundle / "model_repository" / "lm" / "1" / "weights"
    running = Engine(OnnxRunner(weights, LIMITS.max_streams, LIMITS.max_positions, threads=2), LIMITS)
    yield running
    running.close()


def test_a_long_prompt_read_in_pieces_beside_others_gives_the_same_codes(engine: SpeechEngine) -> None:
    alone = codes(list(listen(engine, order("alone", positions=400))))
    events, over = collect(engine, order("background", frames=900, sampling=ENDLESS))
    beside = codes(list(listen(engine, order("beside", positions=400))))
    np.testing.assert_array_equal(alone, beside)
    engine.cancel("background")
    assert over.wait(5)
    assert len(events) > 1


def test_a_failing_listener_harms_nobody_else(engine: SpeechEngine) -> None:
    def broken(event: Event) -> None:
        raise ValueError("listener broke")

    engine.submit(order("broken", frames=60), broken)
    assert len(list(listen(engine, order("healthy")))) > 1
    deadline = time.monotonic() + 10
    while engine.stats().live_streams and time.monotonic() < deadline:
        time.sleep(0.01)
    assert engine.stats().live_streams == 0


def test_deadlines_end_waiting_and_running_streams(engine: SpeechEngine) -> None:
    with pytest.raises(GenerationTimeoutError, match="before its speech was complete"):
        list(listen(engine, order("slow", frames=900, timeout=0.1, sampling=ENDLESS)))
    running = [collect(engine, order(f"r{i}", frames=900, sampling=ENDLESS)) for i in range(LIMITS.max_streams)]
    with pytest.raises(GenerationTimeoutError, match="waited for a free stream"):
        list(listen(engine, order("waiting", timeout=0.1)))
    for i, (_, over) in enumerate(running):
        engine.cancel(f"r{i}")
        assert over.wait(5)


def test_a_full_queue_refuses_and_the_rest_is_served(engine: SpeechEngine) -> None:
    admitted = [collect(engine, order(f"s{i}", frames=60)) for i in range(LIMITS.max_streams + LIMITS.max_waiting)]
    with pytest.raises(OverloadedError, match=r"try again in [0-9]+ s"):
        engine.submit(order("one too many"), lambda event: None)
    assert engine.stats().refused == 1
    assert all(over.wait(60) for _, over in admitted)
    assert {events[-1].finish_reason for events, _ in admitted} <= {FinishReason.LENGTH, FinishReason.STOP}  # type: ignore[union-attr]


def test_how_long_requests_waited_is_tallied(engine: SpeechEngine) -> None:
    running = [collect(engine, order(f"long{i}", frames=900, sampling=ENDLESS)) for i in range(LIMITS.max_streams)]
    while not all(events for events, _ in running):
        time.sleep(0.001)
    before = engine.stats().queued
    assert before.counts[-1] == LIMITS.max_streams
    _, over = collect(engine, order("waits", frames=5))
    _, next_over = collect(engine, order("next part", frames=5, continues=True))
    time.sleep(0.5)
    engine.cancel("long0")
    assert over.wait(10) and next_over.wait(10)
    queued = engine.stats().queued
    assert queued.counts[-1] == before.counts[-1] + 1, "what continues a speech does not queue"
    grown = [now - then for now, then in zip(queued.counts, before.counts, strict=True)]
    at_most = dict(zip((*queued.bounds, float("inf")), grown, strict=True))
    assert at_most[0.4] == 0 and at_most[60] == 1
    assert 0.5 <= queued.total - before.total < 60
    for i in range(1, LIMITS.max_streams):
        engine.cancel(f"long{i}")


def test_what_cannot_be_served_is_refused_at_once(engine: SpeechEngine) -> None:
    with pytest.raises(InvalidRequestError, match="leaves no room to speak"):
        engine.submit(order("long", positions=1020), lambda event: None)
    _, over = collect(engine, order("twice", frames=900, sampling=ENDLESS))
    with pytest.raises(InvalidRequestError, match="'twice' is already being served"):
        engine.submit(order("twice"), lambda event: None)
    engine.cancel("twice")
    assert over.wait(5)
    assert not engine.cancel("never heard of")


def test_whoever_speaks_beside_no_code_changes(engine: SpeechEngine) -> None:
    """Streams of all lengths join and leave; greedy and sampled ones, with and without clips."""
    rng = np.random.default_rng(5)
    layout = CodebookLayout(8, 1026, 1024, 1025)
    requests = []
    for number in range(LIMITS.max_streams + LIMITS.max_waiting):
        request = order(f"{number}", 20 + 7 * number, 15 + 5 * number, sampling=replace(SAMPLING, seed=number))
        if number % 2:
            clip = AudioSegment(delay(rng.integers(0, 1024, (8, 9 + number)), layout))
            request = replace(request, prompt=Prompt((*request.prompt.segments, clip, TextSegment(np.arange(6)))))
        requests.append(request)
    alone = [codes(list(listen(engine, one))) for one in requests]
    together = [collect(engine, one) for one in requests]
    for (events, over), whole in zip(together, alone, strict=True):
        assert over.wait(60)
        np.testing.assert_array_equal(codes(events), whole)
    assert engine.stats().live_streams == 0


def test_cancelled_streams_end_at_once_and_leave_nothing(engine: SpeechEngine) -> None:
    for number in range(5):
        speaking = [collect(engine, order(f"{number}.{i}", frames=900, sampling=ENDLESS)) for i in range(6)]
        while not all(events for events, _ in speaking[: LIMITS.max_streams]):
            time.sleep(0.001)
        assert all(engine.cancel(f"{number}.{i}") for i in range(6)), "two of them wait"
        for events, over in speaking:
            assert over.wait(5)
            assert isinstance(events[-1], FrameWindow) and events[-1].finish_reason == FinishReason.CANCELLED
    stats = engine.stats()
    assert (stats.live_streams, stats.waiting_requests, stats.cancelled) == (0, 0, 30)
    assert len(codes(list(listen(engine, order("after")))))
