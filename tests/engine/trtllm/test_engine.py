"""The TensorRT-LLM engine's conduct over the stand-in executor: places, cancelling, limits, statistics."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.engine.delay_pattern import delay
from runtime.engine.trtllm.engine import TrtllmEngine
from runtime.engine.trtllm.executor_config import ExecutorOptions
from runtime.engine.types import (
    AudioSegment,
    FinishReason,
    FrameWindow,
    Prompt,
    RunawayGuard,
    TextSegment,
)
from runtime.formats.errors import (
    GenerationTimeoutError,
    InvalidRequestError,
    ModelLoadingError,
    OverloadedError,
)
from tests.engine.orders import ENDLESS, codes, order
from tests.engine.trtllm.conftest import ROWS, Start, engine_config, until
from tests.engine.trtllm.standin.executor import Executor
from tests.engine.trtllm.standin.network import Network
from tests.engine.trtllm.streams import LIMITS, Listener
from tools.bench.listening import listen

pytestmark = pytest.mark.slow


def test_a_cancelled_stream_ends_at_once_and_its_place_is_free_a_step_later(
    running: tuple[TrtllmEngine, Executor], figure: Callable[[str, str], None]
) -> None:
    engine, executor = running
    background = Listener(engine, order("background", frames=900, sampling=ENDLESS)).begun()
    go, at_gate = threading.Event(), threading.Event()

    def gate(step: int) -> None:
        at_gate.set()
        assert go.wait(20)

    taken = 0
    for number in range(5):
        stream = Listener(engine, order(f"long{number}", frames=900, sampling=ENDLESS)).begun()
        key = engine._roster.named[f"long{number}"].key
        go.clear(), at_gate.clear()
        executor.before_step = gate
        assert at_gate.wait(20)
        before = len(executor.history)  # the executor stands between two steps
        assert engine.cancel(f"long{number}")
        event = stream.over()
        assert isinstance(event, FrameWindow) and event.finish_reason == FinishReason.CANCELLED
        assert len(executor.history) == before, "its client is told without a step"
        go.set()
        until(lambda: engine.stats().live_streams == 1)
        taken = max(taken, sum(key in keys for keys in executor.history[before:]))
    assert not engine.cancel("long0"), "it is gone"
    assert engine.stats().cancelled == 5
    assert len(background.events) > 1 and not engine._roster.named.keys() - {"background"}
    assert taken <= 1
    figure("a cancelled stream's place is free after", f"{taken} step of the stand-in executor at most")


def test_a_stream_cancelled_while_its_prompt_is_read_is_not_read_to_the_end(
    running: tuple[TrtllmEngine, Executor],
) -> None:
    engine, executor = running
    reading, go_on = threading.Event(), threading.Event()

    def before_step(step: int) -> None:
        if step == 2:  # of thirty that the prompt takes
            reading.set()
            assert go_on.wait(20)

    executor.before_step = before_step
    stream = Listener(engine, order("long", positions=960))
    assert reading.wait(20)
    engine.cancel("long")
    event = stream.over()
    assert isinstance(event, FrameWindow) and event.finish_reason == FinishReason.CANCELLED
    go_on.set()
    until(lambda: engine.stats().live_streams == 0)
    assert executor.steps <= 4 and not executor.history, "it never got a token"


def test_at_the_length_limit_every_frame_arrives_and_no_step_is_wasted(
    running: tuple[TrtllmEngine, Executor],
) -> None:
    engine, executor = running
    windows = list(listen(engine, order("limited", frames=25, sampling=ENDLESS)))
    assert windows[-1].finish_reason == FinishReason.LENGTH
    assert codes(windows).shape == (8, 25)
    until(lambda: engine.stats().live_streams == 0)
    assert len(executor.history) == 25 + 7, "one step a column, column 0 being part of the prompt"


def test_waiting_streams_take_the_places_of_those_that_leave(running: tuple[TrtllmEngine, Executor]) -> None:
    engine, executor = running
    streams = [Listener(engine, order(f"stream{n}", frames=10 + n, sampling=ENDLESS)) for n in range(5)]
    assert engine.stats().waiting_requests == 2
    for stream in streams:
        assert isinstance(stream.over(), FrameWindow)
    assert max(len(keys) for keys in executor.history) == LIMITS.max_streams
    assert engine.stats().finished == engine.stats().queued.counts[-1] == 5


def test_what_continues_goes_before_those_that_wait(running: tuple[TrtllmEngine, Executor]) -> None:
    engine, _ = running
    streams = [Listener(engine, order(f"stream{n}", frames=900, sampling=ENDLESS)) for n in range(5)]
    following = Listener(engine, replace(order("next part", frames=5, sampling=ENDLESS), continues=True))
    assert engine.stats().waiting_requests == 3, "it is not one too many"
    engine.cancel("stream0")
    assert isinstance(following.over(), FrameWindow)
    assert not streams[4].events, "the last of those that waited still waits"


def test_too_many_are_refused_and_a_waiting_one_can_be_cancelled(running: tuple[TrtllmEngine, Executor]) -> None:
    engine, _ = running
    streams = [Listener(engine, order(f"stream{n}", frames=900, sampling=ENDLESS)) for n in range(5)]
    with pytest.raises(OverloadedError, match="3 streams are live and 2 requests wait"):
        engine.submit(order("one too many"), lambda event: None)
    with pytest.raises(InvalidRequestError, match="already being served"):
        engine.submit(order("stream1"), lambda event: None)
    engine.cancel("stream4")
    event = streams[4].over()
    assert isinstance(event, FrameWindow) and event.finish_reason == FinishReason.CANCELLED and event.count == 0
    stats = engine.stats()
    assert (stats.live_streams, stats.waiting_requests, stats.refused, stats.cancelled) == (3, 1, 2, 1)


def test_a_prompt_that_does_not_fit_is_refused(running: tuple[TrtllmEngine, Executor]) -> None:
    engine, _ = running
    with pytest.raises(InvalidRequestError, match="1020 positions of 1024, which leaves no room"):
        engine.submit(order("long", positions=1020), lambda event: None)
    clip = delay(np.zeros((8, ROWS), np.int64), engine.description.layout)
    request = replace(order("clip"), prompt=Prompt((AudioSegment(clip), TextSegment(np.arange(5)))))
    with pytest.raises(InvalidRequestError, match=f"take {len(clip)} frame table rows.*built for {ROWS - 2}"):
        engine.submit(request, lambda event: None)
    assert engine.stats().refused == 2


def test_deadlines_are_kept_while_running_and_while_waiting(running: tuple[TrtllmEngine, Executor]) -> None:
    engine, _ = running
    # Those who wait are late first: nobody who is late before them leaves them a place.
    late = [
        Listener(engine, order(f"late{n}", frames=900, sampling=ENDLESS, timeout=timeout))
        for n, timeout in enumerate((0.5, 0.5, 0.5, 0.25, 0.25))
    ]
    sentences = []
    for stream in late:
        event = stream.over()
        assert isinstance(event, GenerationTimeoutError)
        sentences.append(str(event))
    assert sum("waited for a free stream" in sentence for sentence in sentences) == 2
    until(lambda: engine.stats().live_streams == 0)
    assert engine.stats().failed == {"GenerationTimeoutError": 5}
    assert isinstance(Listener(engine, order("in time")).over(), FrameWindow)


def test_closing_cancels_everybody(start: Start) -> None:
    engine, _ = start(LIMITS)
    streams = [Listener(engine, order(f"stream{n}", frames=900, sampling=ENDLESS)) for n in range(4)]
    streams[0].begun()
    began = time.monotonic()
    engine.close()
    assert time.monotonic() - began < 5
    for stream in streams:
        event = stream.over()
        assert isinstance(event, FrameWindow) and event.finish_reason == FinishReason.CANCELLED
    with pytest.raises(ModelLoadingError, match="stopping"):
        engine.submit(order("late"), lambda event: None)


def test_statistics_count_steps_frames_and_time(running: tuple[TrtllmEngine, Executor]) -> None:
    engine, executor = running
    began = time.monotonic()
    windows = list(listen(engine, order("only", frames=20, sampling=ENDLESS)))
    until(lambda: engine.stats().live_streams == 0)
    stats = engine.stats()
    assert stats.frames == codes(windows).shape[1] == 20
    assert stats.steps == len(executor.history) == 27
    assert 0 < stats.busy_seconds <= time.monotonic() - began
    time.sleep(0.05)
    assert engine.stats().busy_seconds == stats.busy_seconds, "an idle engine is not busy"


def test_warming_up_meets_every_number_of_streams_and_counts_nothing(
    running: tuple[TrtllmEngine, Executor],
) -> None:
    engine, executor = running
    engine.warm_up()
    sizes = [len(keys) for keys in executor.history]
    for number in range(1, LIMITS.max_streams + 1):
        assert sizes.count(number) >= 2, f"{number} streams ran in {sizes.count(number)} steps"
    stats = engine.stats()
    assert (stats.live_streams, stats.steps, stats.frames, stats.finished) == (0, 0, 0, 0)


def test_the_executor_is_set_up_as_the_frame_table_needs(start: Start) -> None:
    _, executor = start(LIMITS, ExecutorOptions(kv_memory_fraction=0.6))
    config = executor.executor_config
    assert config.kv_cache_config.enable_block_reuse and config.kv_cache_config.free_gpu_memory_fraction == 0.6
    assert config.kv_cache_config.max_tokens == 3 * 1024
    assert config.max_batch_size == 3 and config.max_num_tokens == 3 + 32
    knobs = config.extended_runtime_perf_knob_config
    assert knobs.cuda_graph_mode and knobs.cuda_graph_cache_size == 3 * 4
    _, executor = start(replace(LIMITS, prefill_tokens_per_step=1), ExecutorOptions(cuda_graphs=False))
    assert executor.executor_config.max_num_tokens == 3 + 16, "less than a block could never be read"
    assert not executor.executor_config.extended_runtime_perf_knob_config.cuda_graph_mode


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda c: c["pretrained_config"].update(vocab_size=128256), "has 128256 ids; the frame table needs 8208"),
        (lambda c: c["pretrained_config"].update(dtype="int4"), "does not describe"),
        (lambda c: c["pretrained_config"]["mapping"].update(tp_size=2), "cut over 2 GPUs"),
        (lambda c: c["build_config"].update(max_batch_size=2), "serves 2 streams at once, 3 are asked for"),
        (lambda c: c["build_config"].update(max_seq_len=1000), "room for 1000 positions, 1024 are asked for"),
        (lambda c: c["build_config"].update(max_prompt_embedding_table_size=16), "has 2 prompt table rows a stream"),
        (lambda c: c["build_config"]["plugin_config"].update(use_paged_context_fmha=False), "use_paged_context_fmha"),
        (lambda c: c.pop("build_config"), "does not describe"),
    ],
)
def test_an_engine_that_does_not_fit_is_refused(
    change: Callable[[dict[str, Any]], None], sentence: str, trtllm_directory: Path, network: Network, tmp_path: Path
) -> None:
    config = engine_config(network.table_ids)
    change(config)
    for file in trtllm_directory.iterdir():
        if file.is_file():
            (tmp_path / file.name).symlink_to(file)
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelLoadingError, match=sentence):
        TrtllmEngine(tmp_path, LIMITS, ExecutorOptions(device="cpu"), bindings=object())


def test_a_stream_over_its_guards_budget_ends_as_runaway_and_its_place_is_free(
    running: tuple[TrtllmEngine, Executor],
) -> None:
    engine, _ = running
    endless = order("endless", frames=900, sampling=ENDLESS, guard=RunawayGuard(max_frames=25))
    windows = list(listen(engine, endless))
    assert windows[-1].finish_reason == FinishReason.RUNAWAY
    assert sum(window.count for window in windows) == 25
    until(lambda: engine.stats().live_streams == 0)
    assert (engine.stats().runaway, engine.stats().finished) == (1, 1)
