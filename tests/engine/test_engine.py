"""The engine over the real exported demo model: joining, leaving, failing, and how fast a slot comes free."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from runtime.engine import devices
from runtime.engine.contract import EVERY_ROW
from runtime.engine.inflight.engine import Engine
from runtime.engine.inflight.onnx_runner import OnnxRunner
from runtime.engine.types import (
    FinishReason,
    FrameWindow,
    Pace,
    Segment,
    TextSegment,
)
from runtime.formats.errors import (
    CUDAFailureError,
    MemoryExhaustionError,
    ModelLoadingError,
    RequestError,
)
from tests.engine.orders import ENDLESS, LIMITS, codes, collect, order
from tools.bench.listening import listen


class FragileRunner(OnnxRunner):
    """The real runner, with a switch that makes its next prefill or decode fail, and a count of decode steps."""

    fail_prefill: Exception | None = None
    fail_decode: Exception | None = None
    most_rows = 99
    steps = 0

    def prefill(self, slot: int, position: int, segment: Segment) -> int:
        if self.fail_prefill:
            error, self.fail_prefill = self.fail_prefill, None
            raise error
        return super().prefill(slot, position, segment)

    def decode(self, columns: torch.Tensor, positions: list[int], rows: slice = EVERY_ROW) -> torch.Tensor:
        if self.fail_decode:
            error, self.fail_decode = self.fail_decode, None
            raise error
        if rows.stop - rows.start > self.most_rows:
            raise MemoryError("Failed to allocate memory for requested buffer")
        self.steps += 1
        return super().decode(columns, positions, rows)


@pytest.fixture
def runner(bundle: Path) -> FragileRunner:
    weights = bundle / "model_repository" / "lm" / "1" / "weights"
    return FragileRunner(weights, LIMITS.max_streams, LIMITS.max_positions, threads=2)


@pytest.fixture
def engine(runner: FragileRunner) -> Iterator[Engine]:
    running = Engine(runner, LIMITS)
    yield running
    running.close()


def test_a_cancelled_stream_frees_its_slot_within_two_steps(
    engine: Engine, runner: FragileRunner, figure: Callable[[str, str], None]
) -> None:
    taken = 0
    ended: list[int] = []
    for number in range(5):
        long = order(f"long{number}", frames=900, sampling=ENDLESS)
        events, over = collect(engine, long, lambda: ended.append(runner.steps))
        other, other_over = collect(engine, order(f"other{number}", frames=900, sampling=ENDLESS))
        while not (events and other):
            time.sleep(0.001)
        assert engine.cancel(f"long{number}")
        steps = runner.steps  # this thread may have slept for some before it called
        assert over.wait(5)
        taken = max(taken, ended[-1] - steps)
        assert taken <= 2
        assert engine.stats().live_streams == 1
        assert isinstance(events[-1], FrameWindow)
        assert events[-1].finish_reason == FinishReason.CANCELLED
        engine.cancel(f"other{number}")
        assert other_over.wait(5)
    figure("a cancelled stream's slot is free after", f"{taken} steps at most")


@pytest.mark.parametrize("hurried", [False, True])
def test_a_long_prompt_leaves_its_steps_to_who_listens_in_need(runner: FragileRunner, hurried: bool) -> None:
    engine = Engine(runner, replace(LIMITS, frame_seconds=1e-6))  # so short that every piece makes all others late
    engine.pace(Pace(hurried=hurried))
    events, over = collect(engine, order("hears", frames=900, sampling=ENDLESS))
    while not events:
        time.sleep(0.001)
    steps = runner.steps
    next(iter(listen(engine, order("reads", positions=320, frames=1))))  # ten pieces
    taken = runner.steps - steps
    engine.close()
    assert over.wait(5)
    assert taken > 60 if hurried else taken < 60


def test_a_failing_prefill_ends_its_own_stream_only(engine: Engine, runner: FragileRunner) -> None:
    expected = codes(list(listen(engine, order("before"))))
    events, over = collect(engine, order("running", frames=200))
    while not events:
        time.sleep(0.001)
    runner.fail_prefill = MemoryError("no room")
    with pytest.raises(MemoryExhaustionError, match="no room"):
        list(listen(engine, order("victim")))
    assert over.wait(20)
    assert isinstance(events[-1], FrameWindow)
    np.testing.assert_array_equal(codes(list(listen(engine, order("after")))), expected)


def test_a_failing_step_ends_its_streams_and_the_engine_serves_on(engine: Engine, runner: FragileRunner) -> None:
    expected = codes(list(listen(engine, order("before"))))
    events, over = collect(engine, order("victim", frames=900, sampling=ENDLESS))
    while not events:
        time.sleep(0.001)
    runner.fail_decode = RuntimeError("kernel exploded")
    assert over.wait(5)
    assert isinstance(events[-1], RequestError)
    assert "kernel exploded" in str(events[-1])
    assert engine.stats().live_streams == 0
    np.testing.assert_array_equal(codes(list(listen(engine, order("after")))), expected)


def test_a_step_without_memory_for_all_is_made_for_some_at_a_time(engine: Engine, runner: FragileRunner) -> None:
    orders = [order(f"{number}", positions=20 + number) for number in range(LIMITS.max_streams)]
    expected = [codes(list(listen(engine, one))) for one in orders]
    runner.most_rows = 1
    streams = [collect(engine, one) for one in orders]
    for (events, over), whole in zip(streams, expected, strict=True):
        assert over.wait(20)
        np.testing.assert_array_equal(codes(events), whole)
    runner.most_rows = 0
    with pytest.raises(MemoryExhaustionError, match="Failed to allocate"):
        list(listen(engine, order("one too many")))


def test_freed_caches_cost_time_and_nothing_else(bundle: Path, runner: FragileRunner) -> None:
    engine = Engine(runner, replace(LIMITS, prefix_cache_bytes=2**24))
    expected = codes(list(listen(engine, order("first", positions=200))))
    assert engine.stats().prefix_cache_bytes > 0
    engine.free_caches()
    while engine.stats().prefix_cache_bytes:
        time.sleep(0.001)
    reused = engine.stats().prefix_positions_reused
    np.testing.assert_array_equal(codes(list(listen(engine, order("again", positions=200)))), expected)
    assert engine.stats().prefix_positions_reused == reused
    engine.close()


def test_memory_of_slots_without_a_stream_is_given_back_and_no_other(runner: FragileRunner) -> None:
    ids = np.random.default_rng(0).integers(0, 256, 300)
    for slot in range(LIMITS.max_streams):
        runner.prefill(slot, 0, TextSegment(ids))
    kept = runner.read(1, 0, 300)
    runner.release(2)
    assert torch.equal(runner.read(1, 0, 300), kept)
    assert runner.read(2, 40, 300).abs().max() == 0, "but for the page that both share"
    runner.prefill(2, 0, TextSegment(ids))
    assert torch.equal(runner.read(2, 0, 300), kept)
    runner.release(LIMITS.max_streams)


@pytest.mark.parametrize("works", [True, False])
def test_a_device_that_answers_no_more_is_told(
    engine: Engine, runner: FragileRunner, monkeypatch: pytest.MonkeyPatch, works: bool
) -> None:
    monkeypatch.setattr(devices, "answers", lambda device: works)
    assert engine.broken is None
    runner.fail_decode = RuntimeError("CUDA error: an illegal memory access was encountered")
    with pytest.raises(CUDAFailureError):
        list(listen(engine, order("victim")))
    assert (engine.broken is None) == works


def test_every_stream_is_told_when_a_lost_device_moves_nothing(
    engine: Engine, runner: FragileRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = RuntimeError("CUDA error: device-side assert triggered")

    def fail(*_: object) -> None:
        raise lost

    streams = [collect(engine, order(f"{number}", frames=900, sampling=ENDLESS)) for number in range(3)]
    while engine.stats().live_streams < 3:
        time.sleep(0.001)
    with monkeypatch.context() as patch:
        patch.setattr(runner, "move", fail)
        runner.fail_decode = lost
        for events, over in streams:
            assert over.wait(5)
            assert isinstance(events[-1], CUDAFailureError)


def test_whoever_rests_speaks_the_same_codes(engine: Engine) -> None:
    names = "abcd"
    alone = {name: codes(list(listen(engine, order(name, 20 + ord(name), frames=80)))) for name in names}
    heard = {name: collect(engine, order(name, 20 + ord(name), frames=80)) for name in names}
    rng = np.random.default_rng(0)
    most = 0
    while not all(over.is_set() for _, over in heard.values()):
        resting, yielding = ({name for name in names if rng.random() < 0.4} for _ in range(2))
        engine.pace(Pace(frozenset(resting), frozenset(yielding)))
        most = max(most, engine.stats().resting_streams)
        time.sleep(0.005)
    assert most > 0
    for name, (events, _) in heard.items():
        np.testing.assert_array_equal(codes(events), alone[name])


def test_a_stream_that_rests_holds_still_and_still_ends(engine: Engine, runner: FragileRunner) -> None:
    events, over = collect(engine, order("resting", frames=900, sampling=ENDLESS))
    _, late = collect(engine, order("late", frames=900, sampling=ENDLESS, timeout=1.0))
    while not events:
        time.sleep(0.001)
    engine.pace(Pace(resting=frozenset(("resting", "late"))))
    time.sleep(0.1)  # the step under way
    steps = runner.steps
    assert late.wait(5), "its deadline passes"
    assert runner.steps == steps
    engine.cancel("resting")
    assert over.wait(5)


def test_a_model_that_does_not_fit_is_refused(bundle: Path, tmp_path: Path) -> None:
    weights = bundle / "model_repository" / "lm" / "1" / "weights"
    with pytest.raises(ModelLoadingError, match="exported for 4096"):
        OnnxRunner(weights, 1, 5000)
    with pytest.raises(ModelLoadingError, match=r"lm\.json"):
        OnnxRunner(tmp_path, 1, 100)
    (tmp_path / "lm.json").write_text((weights / "lm.json").read_text())
    with pytest.raises(ModelLoadingError, match=r"text\.onnx cannot be loaded"):
        OnnxRunner(tmp_path, 1, 100)


def test_an_error_of_its_own_ends_every_stream_and_the_engine_serves_on(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = codes(list(listen(engine, order("before"))))
    events, over = collect(engine, order("victim", frames=900, sampling=ENDLESS))
    while not events:
        time.sleep(0.001)
    with monkeypatch.context() as broken:
        broken.setattr(engine._scheduler, "schedule", lambda: 1 / 0)
        assert over.wait(5)
    assert isinstance(events[-1], RequestError)
    assert "ZeroDivisionError" in str(events[-1])
    np.testing.assert_array_equal(codes(list(listen(engine, order("after")))), expected)
