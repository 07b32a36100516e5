"""What fails in or under a TensorRT-LLM engine, over the stand-in executor: who is told, and who speaks on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from runtime.engine import devices
from runtime.engine.contract import Event
from runtime.engine.trtllm.engine import TrtllmEngine
from runtime.engine.types import (
    FrameWindow,
)
from runtime.formats.errors import (
    CUDAFailureError,
    RequestError,
)
from tests.engine.orders import ENDLESS, codes, order
from tests.engine.trtllm.conftest import until
from tests.engine.trtllm.standin.executor import Executor
from tests.engine.trtllm.streams import Listener
from tools.bench.listening import listen

pytestmark = pytest.mark.slow


def test_what_fails_inside_the_executor_fails_alone(running: tuple[TrtllmEngine, Executor]) -> None:
    engine, executor = running
    expected = codes(list(listen(engine, order("before", frames=60))))
    healthy = Listener(engine, order("healthy", frames=60))
    victim = Listener(engine, order("victim", frames=900, sampling=ENDLESS)).begun()
    executor.refuse[engine._roster.named["victim"].key] = "CUDA runtime error in cudaMemcpyAsync: out of luck"
    event = victim.over()
    assert isinstance(event, CUDAFailureError) and "out of luck" in str(event)
    assert isinstance(healthy.over(), FrameWindow)
    np.testing.assert_array_equal(codes([e for e in healthy.events if isinstance(e, FrameWindow)]), expected)
    until(lambda: engine.stats().live_streams == 0)
    assert engine.stats().failed == {"CUDAFailureError": 1}


def test_a_stream_that_cannot_begin_leaves_the_others_alone(
    running: tuple[TrtllmEngine, Executor], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, _ = running
    expected = codes(list(listen(engine, order("before", frames=60))))
    healthy = Listener(engine, order("healthy", frames=60)).begun()
    begin = engine._device.table.begin

    def refuse(slot: int, place: int, rows: int) -> None:
        monkeypatch.setattr(engine._device.table, "begin", begin)
        raise ValueError("no such place")

    monkeypatch.setattr(engine._device.table, "begin", refuse)
    event = Listener(engine, order("victim", frames=60)).over()
    assert isinstance(event, RequestError) and "no such place" in str(event)
    healthy.over()
    np.testing.assert_array_equal(codes([e for e in healthy.events if isinstance(e, FrameWindow)]), expected)


@pytest.mark.parametrize("call", ["append", "windows"])
def test_codes_that_cannot_be_collected_fail_their_stream_alone(
    call: str, running: tuple[TrtllmEngine, Executor], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, _ = running
    expected = codes(list(listen(engine, order("before", frames=60))))
    healthy = Listener(engine, order("healthy", frames=60))
    victim = Listener(engine, order("victim", frames=900, sampling=ENDLESS)).begun()

    def refuse(*_: Any) -> None:
        raise IndexError("no room for another column")

    monkeypatch.setattr(engine._roster.named["victim"].codes, call, refuse)
    event = victim.over()
    assert isinstance(event, RequestError) and "no room for another column" in str(event)
    healthy.over()
    np.testing.assert_array_equal(codes([e for e in healthy.events if isinstance(e, FrameWindow)]), expected)


def test_a_failing_step_ends_its_streams_and_the_executor_serves_on(
    running: tuple[TrtllmEngine, Executor], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, executor = running
    expected = codes(list(listen(engine, order("before"))))
    victims = [Listener(engine, order(f"victim{n}", frames=900, sampling=ENDLESS)).begun() for n in range(2)]

    def explode(*_: Any) -> None:
        raise RuntimeError("kernel exploded")

    with monkeypatch.context() as patch:
        patch.setattr(engine._device.table, "write", explode)
        for victim in victims:
            event = victim.over()
            assert isinstance(event, RequestError) and "kernel exploded" in str(event)
        until(lambda: engine.stats().live_streams == 0)
    assert not executor.ended["ERROR"], "nothing may escape from the callback: it would fail every request"
    np.testing.assert_array_equal(codes(list(listen(engine, order("after")))), expected)


def test_a_failing_listener_harms_nobody_else(running: tuple[TrtllmEngine, Executor]) -> None:
    engine, _ = running

    def broken(event: Event) -> None:
        raise ValueError("listener broke")

    engine.submit(order("broken", frames=20), broken)
    assert len(list(listen(engine, order("healthy")))) > 1
    until(lambda: engine.stats().live_streams == 0)


def test_when_the_executor_is_lost_everybody_is_told(running: tuple[TrtllmEngine, Executor]) -> None:
    engine, executor = running
    stream = Listener(engine, order("stream", frames=900, sampling=ENDLESS)).begun()
    executor.dead = RuntimeError("CUDA error: an illegal memory access was encountered")
    assert isinstance(stream.over(), CUDAFailureError)
    with pytest.raises(CUDAFailureError):
        engine.submit(order("later"), lambda event: None)
    assert isinstance(engine.broken, CUDAFailureError)


@pytest.mark.parametrize("works", [True, False])
def test_a_device_that_answers_no_more_ends_the_engine_though_the_executor_does_not_notice(
    running: tuple[TrtllmEngine, Executor], monkeypatch: pytest.MonkeyPatch, works: bool
) -> None:
    engine, _ = running

    def fail(*_: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(devices, "answers", lambda device: works)
    victim = Listener(engine, order("victim", frames=900, sampling=ENDLESS)).begun()
    with monkeypatch.context() as patch:
        patch.setattr(engine._device.table, "write", fail)
        assert isinstance(victim.over(), CUDAFailureError)
    if works:
        assert len(list(listen(engine, order("after")))) > 1
    assert (engine.broken is None) == works
