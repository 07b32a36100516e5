"""What we make of a card that is full, and of one that is lost, when it is a real one. Skipped where there is none.

Models are stand-ins in plain torch; the failures under them are CUDA's own. One that loses the card does so for the
whole process, so it has a process of its own.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from runtime.codec.batcher import WindowBatcher
from runtime.engine.contract import EVERY_ROW, Event, SpeechEngine
from runtime.engine.devices import answers
from runtime.engine.inflight.engine import Engine
from runtime.engine.trtllm.engine import TrtllmEngine
from runtime.engine.trtllm.executor_config import ExecutorOptions
from runtime.engine.types import CodebookLayout, Limits, Request, Segment
from runtime.formats.errors import CUDAFailureError, MemoryExhaustionError, RequestError, classify
from tests.engine.orders import codes
from tests.engine.trtllm.conftest import until, written
from tests.engine.trtllm.orders import order, random_prompt
from tests.engine.trtllm.standin.bindings import standin_bindings
from tests.engine.trtllm.standin.network import Network
from tools.bench.listening import listen

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

CARD = torch.device("cuda")
LAYOUT = CodebookLayout(num_codebooks=8, codebook_size=1026, stream_bos_id=1024, stream_eos_id=1025)
STREAMS = 4
LIMITS = Limits(STREAMS, STREAMS, max_positions=1024, prefill_tokens_per_step=64, context_frames=10)
MORE_THAN_ANY_CARD = 2**50  # bytes


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """A test's tensors do not lie in what another left in torch's cache, which could not be given back then."""
    yield
    torch.cuda.empty_cache()


def orders() -> list[Request]:
    """One for each of the engine's streams."""
    return [order(f"stream {number}", random_prompt(number, LAYOUT), frames=300) for number in range(STREAMS)]


def taken(nbytes: int) -> torch.Tensor:
    """So much of the card's memory."""
    return torch.empty(nbytes, dtype=torch.uint8, device=CARD)


@contextmanager
def full_card(kept: bool = False) -> Iterator[None]:
    """Nothing is left of the card's memory; nor of what torch keeps of it, unless all of it is `kept` there."""
    held: list[torch.Tensor] = []
    for nbytes in (2**30, 2**24, 2**21, 2**20, 1):
        with suppress(torch.OutOfMemoryError):
            while True:
                held.append(taken(nbytes))
    if kept:
        held.clear()
    try:
        yield
    finally:
        held.clear()
        torch.cuda.empty_cache()


def lose_the_card() -> None:
    """An index out of range, which a kernel meets: CUDA then refuses every later call of the process."""
    torch.zeros(1, device=CARD).index_select(0, torch.ones(1, dtype=torch.int64, device=CARD))


class Model:
    """A `ModelRunner` on the card whose streams never end by themselves.

    `row_bytes`: what a step takes for each of its rows. `asked`, `made`: the rows of each step that was begun, and of
    each that ended. `loses`: whether the card is lost in the first step for all streams.
    """

    layout, device, position_bytes = LAYOUT, CARD, 1

    def __init__(self, loses: bool = False) -> None:
        shape = (LAYOUT.codebook_size, LAYOUT.num_codebooks, LAYOUT.codebook_size)
        self._logits = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(CARD)
        self._logits[..., LAYOUT.first_special_id :] = -100
        self._loses, self.row_bytes = loses, 1
        self.asked: list[int] = []
        self.made: list[int] = []
        self._slots = torch.zeros(STREAMS, LIMITS.max_positions, device=CARD)

    def prefill(self, slot: int, position: int, segment: Segment) -> int:
        return len(segment)

    def decode(self, columns: torch.Tensor, positions: list[int], rows: slice = EVERY_ROW) -> torch.Tensor:
        newest = columns[rows, 0] + torch.tensor(positions[rows], device=CARD)
        self.asked.append(len(newest))
        taken(len(newest) * self.row_bytes)
        if self._loses and len(newest) == STREAMS:
            lose_the_card()
        self.made.append(len(newest))
        return self._logits[newest % LAYOUT.codebook_size]

    def move(self, source: int, target: int, positions: int) -> None:
        self._slots[target, :positions] = self._slots[source, :positions]

    def release(self, first: int) -> None:
        pass

    def read(self, slot: int, start: int, stop: int) -> torch.Tensor:
        raise NotImplementedError

    def write(self, slot: int, start: int, values: torch.Tensor) -> None:
        raise NotImplementedError


@contextmanager
def trtllm_engine(checkpoint: Path, directory: Path) -> Iterator[tuple[TrtllmEngine, Any]]:
    """The engine over the stand-in executor, its network on the card; with the executor."""
    network = Network(checkpoint, "cuda")
    bindings = standin_bindings(network)
    options = ExecutorOptions(device="cuda")
    engine = TrtllmEngine(written(directory, checkpoint, network), LIMITS, options, bindings=bindings)
    try:
        yield engine, bindings.executors[0]
    finally:
        engine.close()


def test_a_full_card_answers() -> None:
    with full_card():
        with pytest.raises(torch.OutOfMemoryError):
            taken(1)
        assert answers(CARD)


def test_a_step_without_memory_for_all_is_made_for_some_at_a_time() -> None:
    model = Model()
    engine = Engine(model, LIMITS)
    try:
        expected = [codes(list(listen(engine, one))) for one in orders()]
        model.row_bytes = torch.cuda.mem_get_info()[1] // 3  # for two, not for three
        model.made.clear()
        with ThreadPoolExecutor(STREAMS) as together:
            spoken = list(together.map(lambda one: codes(list(listen(engine, one))), orders()))
    finally:
        engine.close()
    for ours, theirs in zip(spoken, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # Half of four streams are two; when three had come at first, half of them is one.
    assert max(model.made) <= 2 < max(model.asked)


def test_windows_that_do_not_fit_together_are_decoded_one_by_one() -> None:
    """What the failed call had taken is free again by then: it would hinder them."""
    window_bytes = torch.cuda.mem_get_info()[1] * 3 // 10
    begun, came, failed = threading.Event(), threading.Event(), []

    def decode(windows: np.ndarray) -> np.ndarray:
        begun.set()
        assert came.wait(20)
        try:
            hidden = taken(len(windows) * window_bytes)  # of two fits
            torch.empty_like(hidden)
        except torch.OutOfMemoryError:
            failed.append(len(windows))
            raise
        return torch.from_numpy(windows).to(CARD).sum(1).float().cpu().numpy()

    samples: dict[int, np.ndarray | Exception | None] = {}
    batcher = WindowBatcher[int](decode, samples.__setitem__, 2)
    for number in range(3):
        batcher.put(str(number), number, np.full((8, 20), number, np.int32))
        assert begun.wait(20), "the first alone, the others together"
    came.set()
    batcher.close()
    for number in range(3):
        np.testing.assert_array_equal(samples[number], np.full(20, 8.0 * number))
    assert failed == [2]


def test_freed_caches_are_the_card_s_again() -> None:
    engine = Engine(Model(), LIMITS)
    try:
        taken(2**32)
        before, _ = torch.cuda.mem_get_info()
        engine.free_caches()
        until(lambda: torch.cuda.mem_get_info()[0] >= before + 2**32)
    finally:
        engine.close()


def test_a_full_card_fails_a_request_and_not_the_engine(checkpoint: Path, tmp_path: Path) -> None:
    with trtllm_engine(checkpoint, tmp_path) as (engine, _):
        one = orders()[0]
        expected = codes(list(listen(engine, one)))
        with full_card(), pytest.raises(MemoryExhaustionError):
            list(listen(engine, one))
        assert engine.broken is None
        np.testing.assert_array_equal(codes(list(listen(engine, one))), expected)


def in_a_process(task: Callable[..., Any], *values: Any) -> Any:
    """What it returns in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        return alone.submit(task, *values).result()


def last_events(engine: SpeechEngine, asked: list[Request]) -> list[Event]:
    """How each request, of all together, ends in an engine, within seconds."""
    heard: list[SimpleQueue[Event]] = [SimpleQueue() for _ in asked]
    for one, events in zip(asked, heard, strict=True):
        engine.submit(one, events.put)
    endings = []
    for events in heard:
        while not isinstance(event := events.get(timeout=20), RequestError) and event.finish_reason is None:
            pass
        endings.append(event)
    return endings


def multiply_on_a_full_card() -> None:
    """The first product of a process, for which cuBLAS wants memory of its own."""
    factor, product = (torch.ones(64, 64, device=CARD) for _ in range(2))
    with full_card():
        torch.mm(factor, factor, out=product)
        torch.cuda.synchronize()


def use_a_lost_card() -> None:
    lose_the_card()
    torch.cuda.synchronize()


def failures() -> list[tuple[RequestError, bool]]:
    """What is told of each, and whether the card answers afterwards."""
    told = []
    for fail in (multiply_on_a_full_card, use_a_lost_card):
        with pytest.raises(RuntimeError) as failure:
            fail()
        told.append((classify(failure.value), answers(CARD)))
    return told


def test_a_full_card_and_a_lost_one_are_told_apart(figure: Callable[[str, str], None]) -> None:
    (full, answered_when_full), (lost, answered_when_lost) = in_a_process(failures)
    assert isinstance(full, MemoryExhaustionError) and answered_when_full
    assert isinstance(lost, CUDAFailureError) and not answered_when_lost
    figure(f"a full {torch.cuda.get_device_name()}", str(full))
    figure(f"a lost {torch.cuda.get_device_name()}", str(lost))


def spoken_after_kernels_found_no_memory() -> tuple[list[Event], RequestError | None]:
    engine = Engine(Model(), LIMITS)
    try:
        with full_card(kept=True):
            first = last_events(engine, orders()[:1])
        return first + last_events(engine, orders()[:1]), engine.broken
    finally:
        engine.close()


def test_an_engine_whose_kernels_found_no_memory_speaks_again_or_is_broken(
    figure: Callable[[str, str], None],
) -> None:
    """CUDA loads a kernel's code when it is first needed, from memory that torch does not keep."""
    (first, second), broken = in_a_process(spoken_after_kernels_found_no_memory)
    assert isinstance(first, MemoryExhaustionError)
    assert isinstance(broken, CUDAFailureError) if isinstance(second, RequestError) else broken is None
    figure(f"after kernels found no memory on {torch.cuda.get_device_name()}", str(second))


def spoken_until_lost() -> tuple[list[Event], RequestError | None]:
    engine = Engine(Model(loses=True), LIMITS)
    try:
        return last_events(engine, orders()), engine.broken
    finally:
        engine.close()


def spoken_over_the_executor_until_lost(checkpoint: Path, directory: Path) -> tuple[list[Event], RequestError | None]:
    def lose_with_all(generating: list[int]) -> set[int]:
        if len(generating) == STREAMS:
            lose_the_card()
        return set()

    with trtllm_engine(checkpoint, directory) as (engine, executor):
        executor.sit_out = lose_with_all
        endings = last_events(engine, orders())
        with pytest.raises(CUDAFailureError):
            engine.submit(orders()[0], lambda event: None)
        return endings, engine.broken


def test_when_the_card_is_lost_every_stream_is_told_and_the_engine_is_broken() -> None:
    endings, broken = in_a_process(spoken_until_lost)
    assert [type(event) for event in (*endings, broken)] == [CUDAFailureError] * (STREAMS + 1)


def test_when_the_card_is_lost_under_the_executor_every_stream_is_told_and_the_engine_is_broken(
    checkpoint: Path, tmp_path: Path
) -> None:
    endings, broken = in_a_process(spoken_over_the_executor_until_lost, checkpoint, tmp_path)
    assert [type(event) for event in (*endings, broken)] == [CUDAFailureError] * (STREAMS + 1)


def decoded_without(memory: bool) -> None:
    """A codec's process whose first window fails for want of memory, or of the card."""
    sys.modules["triton_python_backend_utils"] = SimpleNamespace(Logger=SimpleNamespace(log_error=print))  # type: ignore[assignment]
    from runtime.triton.farewell import end_if_lost  # noqa: PLC0415

    def decode(windows: np.ndarray) -> np.ndarray:
        if not memory:
            lose_the_card()
        return taken(MORE_THAN_ANY_CARD if memory else 1).cpu().numpy()

    def answer(ticket: int, result: np.ndarray | Exception | None) -> None:
        assert isinstance(result, Exception)
        end_if_lost("codec_decoder", result)

    batcher = WindowBatcher[int](decode, answer, 1)
    batcher.put("stream", 0, np.zeros((8, 20), np.int32))
    batcher.close()
    time.sleep(3)


@pytest.mark.parametrize(("memory", "exit_code"), [(True, 0), (False, -signal.SIGKILL)], ids=["memory", "the card"])
def test_a_codec_s_process_ends_when_it_lost_the_card_and_not_for_want_of_memory(memory: bool, exit_code: int) -> None:
    process = get_context("spawn").Process(target=decoded_without, args=(memory,))
    process.start()
    process.join(120)
    assert process.exitcode == exit_code
