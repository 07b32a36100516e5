"""Engines end a model that never stops, loops or falls silent, and let the others speak on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runtime.engine.inflight.engine import Engine
from runtime.engine.runaway import RunawayDetector
from runtime.engine.types import (
    CodebookLayout,
    FinishReason,
    FrameWindow,
    Limits,
    Prompt,
    Request,
    RunawayGuard,
    SamplingParameters,
    Segment,
    TextSegment,
    WindowPlan,
)
from tools.bench.listening import listen

pytestmark = pytest.mark.slow

LAYOUT = CodebookLayout(num_codebooks=8, codebook_size=1026, stream_bos_id=1024, stream_eos_id=1025)
SILENCE = [[5, 6], [9]]
LIMITS = Limits(4, 16, 4096, 64, context_frames=10, silence_codes=SILENCE)
GREEDY = SamplingParameters(temperature=0.0, top_k=0, top_p=1.0, ras_window=0, ras_max_repeats=1, seed=0)
GUARD = RunawayGuard(max_frames=900, loop_frames=50, loop_repeats=3, silence_frames=75)
MODELS = ("speech", "pauses", "loop", "silence", "clicks", "babble")
CLICK_EVERY, PAUSE, WORD = 20, 74, 10  # columns


class ScriptedRunner:
    """A model that reads in its prompt's first token which of MODELS it is, and has no doubt what comes next."""

    layout, device, position_bytes = LAYOUT, torch.device("cpu"), 1

    def __init__(self) -> None:
        self._slots: dict[int, tuple[int, int]] = {}  # which model, and where its speech began
        rng = np.random.default_rng(0)
        self._codes = torch.from_numpy(rng.integers(100, 1024, (len(MODELS), 5000, 8)))  # [model, column, codebook]
        loop = self._codes[MODELS.index("loop")]
        loop[60:] = loop[60:91].repeat(160, 1)[: len(loop) - 60]
        for model, is_silent in (
            ("silence", lambda column: column >= 60),
            ("clicks", lambda column: column >= 60 and column % CLICK_EVERY > 0),
            ("pauses", lambda column: column % (WORD + PAUSE) >= WORD),
        ):
            for column in filter(is_silent, range(self._codes.shape[1])):
                self._codes[MODELS.index(model), column, :2] = torch.tensor([5 + column % 2, 9])
        self._codes[MODELS.index("speech"), 250:, 0] = LAYOUT.stream_eos_id
        self._codes[MODELS.index("pauses"), 800:, 0] = LAYOUT.stream_eos_id

    def prefill(self, slot: int, position: int, segment: Segment) -> int:
        assert isinstance(segment, TextSegment)
        if len(segment):
            self._slots[slot] = int(segment.ids[0]), position + len(segment)
        return len(segment)

    def decode(self, columns: torch.Tensor, positions: list[int], rows: slice) -> torch.Tensor:
        logits = torch.zeros(len(positions), LAYOUT.num_codebooks, LAYOUT.codebook_size)
        for slot, position in enumerate(positions):
            model, start = self._slots[slot]
            logits[slot].scatter_(1, self._codes[model, position - start][:, None], 10.0)
        return logits[rows]

    def move(self, source: int, target: int, positions: int) -> None:
        self._slots[target] = self._slots[source]

    def read(self, slot: int, start: int, stop: int) -> torch.Tensor:
        raise NotImplementedError

    def write(self, slot: int, start: int, values: torch.Tensor) -> None:
        raise NotImplementedError


@pytest.fixture
def engine() -> Iterator[Engine]:
    running = Engine(ScriptedRunner(), LIMITS)
    yield running
    running.close()


def order(model: str, guard: RunawayGuard = GUARD, frames: int = 3000) -> Request:
    prompt = Prompt((TextSegment(np.array([MODELS.index(model)])),))
    return Request(model, prompt, GREEDY, WindowPlan(10, 1.5, 50), frames, 120.0, guard)


def said(windows: list[FrameWindow]) -> tuple[FinishReason | None, int]:
    return windows[-1].finish_reason, sum(window.count for window in windows)


@pytest.mark.parametrize(
    "model, reason, fewest, most",
    [
        ("speech", FinishReason.STOP, 250, 250),
        ("pauses", FinishReason.STOP, 800, 800),
        ("loop", FinishReason.RUNAWAY, 60 + 31, 60 + 31 + 150),
        ("silence", FinishReason.RUNAWAY, 60, 60 + 75),
        ("clicks", FinishReason.RUNAWAY, 60, 60 + 2 * 75),
        ("babble", FinishReason.RUNAWAY, 900, 900),
    ],
)
def test_a_stream_ends_by_its_guard_and_no_sooner(
    engine: Engine, model: str, reason: FinishReason, fewest: int, most: int
) -> None:
    found, frames = said(list(listen(engine, order(model))))
    assert found == reason
    assert fewest <= frames <= most
    assert engine.stats().runaway == (reason is FinishReason.RUNAWAY)
    assert engine.stats().finished == 1


@pytest.mark.parametrize("model", ["loop", "silence", "clicks", "babble"])
def test_without_a_guard_it_goes_on_to_its_length(engine: Engine, model: str) -> None:
    assert said(list(listen(engine, order(model, RunawayGuard(), frames=1000)))) == (FinishReason.LENGTH, 1000)
    assert engine.stats().runaway == 0


def test_streams_that_run_away_harm_nobody_beside_them(engine: Engine) -> None:
    found: dict[str, tuple[FinishReason | None, int]] = {}

    def run(model: str) -> None:
        found[model] = said(list(listen(engine, order(model))))

    threads = [threading.Thread(target=run, args=(model,)) for model in MODELS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found["speech"], found["pauses"]) == ((FinishReason.STOP, 250), (FinishReason.STOP, 800))
    assert {model for model, (reason, _) in found.items() if reason is FinishReason.RUNAWAY} == set(MODELS[2:])
    assert engine.stats().live_streams == 0


@given(st.lists(st.tuples(st.integers(1, 74), st.integers(10, 40)), max_size=12))
def test_pauses_shorter_than_the_guards_are_left_alone_when_words_stand_between_them(
    spoken: list[tuple[int, int]],
) -> None:
    """Words of ten frames, 0.4 s, and more, each as long as an eighth of the pauses around it."""
    detector = RunawayDetector(LAYOUT, RunawayGuard(silence_frames=75), SILENCE)
    for pause, word in spoken:
        for silent in [True] * pause + [False] * word:
            assert detector.append(np.array([5, 9, *[0] * 6]) if silent else np.full(8, 200)) is None


@given(st.integers(10, 60), st.integers(0, 9), st.integers(0, 50))
def test_silence_with_a_sound_now_and_then_is_ended_where_it_began(every: int, phase: int, before: int) -> None:
    detector = RunawayDetector(LAYOUT, RunawayGuard(silence_frames=75), SILENCE)
    for _ in range(before):
        assert detector.append(np.full(8, 200)) is None
    for number in range(75 * 10):
        silent = number % every != phase or number == 0
        found = detector.append(np.array([5, 9, *[0] * 6]) if silent else np.full(8, 200))
        if found is not None:
            break
    assert found is not None, "at least a tenth more silent columns than sounds take back"
    assert before - 1 <= max(found, before - 1) <= before + 10


def test_watching_a_column_costs_little_however_long_the_stream_is(figure: Callable[[str, str], None]) -> None:
    detector = RunawayDetector(LAYOUT, GUARD, SILENCE)
    columns = np.random.default_rng(0).integers(100, 1024, (4000, 8))
    started = time.process_time()
    assert not any(detector.append(column) is not None for column in columns)
    seconds = (time.process_time() - started) / len(columns)
    figure("watching for loops and silence", f"{seconds * 1e6:.0f} us a column of one stream")
    assert seconds < 1e-3, "a step of 16 streams would be late"
