"""Reusing kept keys and values over the real exported demo model: fewer positions are read, and no code changes."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from convert.onnx_executor import OnnxExecutor
from runtime.engine.delay_pattern import delay
from runtime.engine.inflight.engine import Engine, Event, ModelRunner
from runtime.engine.inflight.graph_executor import GraphLimits
from runtime.engine.inflight.onnx_runner import OnnxRunner
from runtime.engine.inflight.pieces import Piece
from runtime.engine.inflight.prefix_cache import PrefixCache
from runtime.engine.inflight.rtx_runner import RtxRunner
from runtime.engine.types import (
    AudioSegment,
    CodebookLayout,
    FrameWindow,
    Limits,
    ModelDescription,
    Prompt,
    Request,
    SamplingParameters,
    Segment,
    TextSegment,
    WindowPlan,
)
from runtime.formats.errors import GenerationTimeoutError, RequestError
from tools.bench.listening import listen

pytestmark = pytest.mark.slow

STREAMS, POSITIONS, BUDGET = 4, 1024, 32
THREADS = 2  # rows are shared out among threads, so that with one much is equal that is not with two
LIMITS = Limits(STREAMS, 16, POSITIONS, BUDGET, context_frames=10, prefix_cache_bytes=2**26)
SAMPLED = SamplingParameters(temperature=0.8, top_k=40, top_p=0.95, ras_window=7, ras_max_repeats=2, seed=11)
GREEDY = SamplingParameters(temperature=0.0, top_k=0, top_p=1.0, ras_window=0, ras_max_repeats=1, seed=0)


Segments = tuple[Segment, ...]


class Counter:
    """A runner, which also counts the prompt positions it reads and can be made to fail."""

    def __init__(self, runner: ModelRunner) -> None:
        self._runner = runner
        self.positions = 0
        self.fail: Exception | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._runner, name)

    def prefill(self, slot: int, position: int, segment: Segment) -> int:
        if self.fail:
            error, self.fail = self.fail, None
            raise error
        self.positions += len(segment)
        return self._runner.prefill(slot, position, segment)


@pytest.fixture(params=["onnx fp32", "onnx int4", "rtx"])
def make_runner(request: pytest.FixtureRequest) -> Callable[[], ModelRunner]:
    if request.param == "rtx":
        graph: Path = request.getfixturevalue("one_graph")
        executor = OnnxExecutor(graph / "lm.onnx", GraphLimits(STREAMS, 64, POSITIONS), threads=1)
        return lambda: RtxRunner(executor, ModelDescription.read(graph / "lm.json"), STREAMS, POSITIONS)
    graphs: Path = request.getfixturevalue("two_graphs" if request.param == "onnx fp32" else "two_int4_graphs")
    return lambda: OnnxRunner(graphs, STREAMS, POSITIONS, threads=THREADS)


class Pair:
    """The same model twice: `engine` keeps, `plain` does not."""

    def __init__(self, make_runner: Callable[[], ModelRunner], limits: Limits = LIMITS) -> None:
        self.reads = Counter(make_runner())
        self.engine = Engine(self.reads, limits)
        self.plain = Engine(make_runner(), replace(limits, prefix_cache_bytes=0))
        self.layout = self.reads._runner.layout

    def speak(self, name: str, segments: Segments, sampling: SamplingParameters, frames: int = 30) -> int:
        """Let both speak; they must say the same. Returns how many positions the engine that keeps had to read."""
        before = self.reads.positions
        request = order(name, segments, sampling, frames)
        self.said = codes(list(listen(self.engine, request)))
        read = self.reads.positions - before
        np.testing.assert_array_equal(self.said, codes(list(listen(self.plain, request))))
        return read


@pytest.fixture
def pair(make_runner: Callable[[], ModelRunner]) -> Iterator[Pair]:
    running = Pair(make_runner)
    yield running
    running.engine.close()
    running.plain.close()


def order(name: str, segments: Segments, sampling: SamplingParameters = SAMPLED, frames: int = 30) -> Request:
    return Request(name, Prompt(segments), sampling, WindowPlan(10, 1.5, 50), frames, 120.0)


def codes(windows: list[FrameWindow]) -> np.ndarray:
    return np.concatenate([w.codes[:, w.context : w.context + w.count] for w in windows], axis=1)


def text(seed: int, positions: int) -> TextSegment:
    return TextSegment(np.random.default_rng(seed).integers(0, 256, positions))


def clip(seed: int, frames: int, layout: CodebookLayout) -> AudioSegment:
    return AudioSegment(delay(np.random.default_rng(seed).integers(0, 1024, (layout.num_codebooks, frames)), layout))


def submit(engine: Engine, request: Request) -> tuple[list[Event], threading.Event, threading.Event]:
    """Returns the events so far, and what is set with the first and with the last of them."""
    events: list[Event] = []
    begun, over = threading.Event(), threading.Event()

    def on_event(event: Event) -> None:
        events.append(event)
        begun.set()
        if isinstance(event, RequestError) or event.finish_reason:
            over.set()

    engine.submit(request, on_event)
    return events, begun, over


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_a_voice_is_read_once_whatever_is_said_with_it(pair: Pair, sampling: SamplingParameters) -> None:
    voice: Segments = (text(0, 21), clip(0, 40, pair.layout), text(1, 9))
    length = sum(map(len, voice))
    assert pair.speak("first", (*voice, text(2, 15)), sampling) == length + 15
    for number, words in enumerate((1, 2, 40), start=3):
        assert pair.speak(f"next{number}", (*voice, text(number, words)), sampling) == 9 + words, "the text, whole"
    assert pair.speak("again", (*voice, text(2, 15)), sampling) == 0, "a whole prompt needs no reading at all"
    other: Segments = (text(0, 21), clip(1, 40, pair.layout), text(1, 9))
    assert pair.speak("other voice", (*other, text(2, 15)), sampling) == length + 15 - 21, "but for the first text"
    assert pair.engine.stats().prefix_positions_reused == 3 * (length - 9) + length + 15 + 21
    assert pair.plain.stats().prefix_positions_reused == 0


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_a_dialogues_next_part_reads_what_was_spoken_once_and_what_is_new(
    pair: Pair, sampling: SamplingParameters
) -> None:
    segments: Segments = (text(0, 30),)
    assert pair.speak("first", segments, sampling) == 30
    for part in range(3):
        spoken = AudioSegment(delay(pair.said.astype(np.int64), pair.layout))
        segments = (*segments, spoken, text(10 + part, 12))
        assert pair.speak(f"part{part}", segments, sampling) == len(spoken) + 12
    assert pair.engine.stats().prefix_cache_bytes > 0


class Forgetful(PrefixCache):
    """Forgets everything now and then, also between being asked what it knows and being asked for it."""

    chance = random.Random(0)

    def known(self, pieces: Sequence[Piece]) -> int:
        self._forget()
        return super().known(pieces)

    def lookup(self, pieces: Sequence[Piece]) -> list[torch.Tensor]:
        self._forget()
        return super().lookup(pieces)

    def _forget(self) -> None:
        if self.chance.random() < 0.15:
            self.clear()


def keys_and_values(engine: Engine, requests: list[Request]) -> dict[int, torch.Tensor]:
    """Of each request, by its seed, what its slot holds when its prompt is complete; filled in as they are served."""
    lengths = {request.sampling.seed: len(request.prompt) for request in requests}
    held: dict[int, torch.Tensor] = {}
    begin = engine._state.begin

    def record(slot: int, parameters: SamplingParameters, tail: torch.Tensor | None) -> None:
        held[parameters.seed] = engine._runner.read(slot, 0, lengths[parameters.seed])
        begin(slot, parameters, tail)

    engine._state.begin = record  # type: ignore[method-assign]
    return held


def random_requests(rng: np.random.Generator, layout: CodebookLayout) -> list[Request]:
    """Prompts of which many begin alike, as a voice's and a dialogue's do; greedy and sampled."""
    pool: list[Segments] = [()]
    requests = []
    for number in range(12):
        segments = pool[rng.integers(len(pool))]
        piece: Segment = text(number, int(rng.integers(1, 70)))
        if rng.random() < 0.5:
            piece = clip(number, int(rng.integers(1, 60)), layout)
        pool.append((*segments, piece))
        sampling = replace(SAMPLED if rng.random() < 0.7 else GREEDY, seed=number)
        requests.append(order(f"r{number}", pool[-1], sampling, int(rng.integers(3, 25))))
    return requests


@pytest.mark.parametrize("cache", ["ample", "small", "forgetful"])
def test_in_any_company_keys_values_and_codes_are_those_of_reading_alone_bit_for_bit(
    make_runner: Callable[[], ModelRunner], cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = 220 * make_runner().position_bytes
    if cache == "forgetful":
        monkeypatch.setattr("runtime.engine.inflight.prompt_reader.PrefixCache", Forgetful)
    pair = Pair(make_runner, replace(LIMITS, prefix_cache_bytes=few) if cache == "small" else LIMITS)
    requests = random_requests(np.random.default_rng(0), pair.layout)
    read = keys_and_values(pair.plain, requests)
    expected = [codes(list(listen(pair.plain, request))) for request in requests]
    held = keys_and_values(pair.engine, requests)
    for _ in range(2):
        running = [submit(pair.engine, request) for request in requests]
        for request, (events, _, over), wanted in zip(requests, running, expected, strict=True):
            assert over.wait(240)
            np.testing.assert_array_equal(codes([e for e in events if isinstance(e, FrameWindow)]), wanted)
            seed = request.sampling.seed
            assert torch.equal(held.pop(seed), read[seed]), f"{request.request_id} began with other keys and values"
        if cache == "small":
            assert pair.engine.stats().prefix_cache_bytes <= few
    assert pair.engine.stats().prefix_positions_reused > 0
    pair.engine.close(), pair.plain.close()


def test_requests_that_come_together_share_a_voice_that_nobody_had_before(pair: Pair) -> None:
    voice: Segments = (text(0, 20), clip(0, 40, pair.layout), text(1, 10))
    requests = [order(f"r{n}", (*voice, text(10 + n, 12)), replace(SAMPLED, seed=n)) for n in range(8)]
    expected = [codes(list(listen(pair.plain, request))) for request in requests]
    running = [submit(pair.engine, request) for request in requests]
    for (events, _, over), wanted in zip(running, expected, strict=True):
        assert over.wait(120)
        np.testing.assert_array_equal(codes([e for e in events if isinstance(e, FrameWindow)]), wanted)
    assert pair.reads.positions == sum(map(len, voice[:2])) + 8 * (10 + 12)


def test_what_a_cancelled_stream_read_is_kept_and_what_it_said_is_not(pair: Pair) -> None:
    endless = order("endless", (text(0, 40),), GREEDY, 600)
    events, begun, over = submit(pair.engine, endless)
    assert begun.wait(60)
    pair.engine.cancel("endless")
    assert over.wait(60)
    said = codes([e for e in events if isinstance(e, FrameWindow)])
    assert said.shape[1] > 5
    spoken = AudioSegment(delay(said.astype(np.int64), pair.layout))
    assert pair.speak("next", (text(0, 40), spoken, text(1, 5)), SAMPLED) == len(spoken) + 5


def test_what_a_failed_step_left_is_not_trusted(pair: Pair) -> None:
    pair.reads.fail = RuntimeError("kernel exploded")
    with pytest.raises(RequestError, match="kernel exploded"):
        list(listen(pair.engine, order("victim", (text(0, 40),))))
    assert pair.engine.stats().prefix_cache_bytes == 0
    assert pair.speak("next", (text(0, 40),), SAMPLED) == 40


def test_a_cache_that_cannot_be_read_costs_only_the_reuse(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(slot: int, start: int, stop: int) -> torch.Tensor:
        raise MemoryError("no room for a copy")

    monkeypatch.setattr(pair.reads._runner, "read", fail)
    for name in ("first", "second"):
        assert pair.speak(name, (text(0, 40),), SAMPLED) == 40


def test_what_is_kept_is_forgotten_when_the_engine_begins_anew(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pair.speak("before", (text(0, 40),), SAMPLED) == 40
    with monkeypatch.context() as broken:
        broken.setattr(pair.engine._scheduler, "schedule", lambda: 1 / 0)
        with pytest.raises(RequestError, match="ZeroDivisionError"):
            list(listen(pair.engine, order("victim", (text(0, 40),))))
    assert pair.speak("after", (text(0, 40),), SAMPLED) == 40


def test_a_stream_that_is_late_is_kept_and_reports_its_lateness(pair: Pair) -> None:
    with pytest.raises(GenerationTimeoutError):
        list(listen(pair.engine, replace(order("late", (text(0, 40),), GREEDY, 900), timeout=0.1)))
    if pair.engine.stats().prefix_cache_bytes:  # unless the machine was too slow to read the prompt in time
        assert pair.speak("next", (text(0, 40),), SAMPLED) == 0


@pytest.mark.parametrize("graphs", ["two_graphs", "two_int4_graphs"])
def test_a_stream_has_the_same_logits_bit_for_bit_alone_and_in_any_company(
    request: pytest.FixtureRequest, graphs: str
) -> None:
    """What lets codes be equal whatever was read meanwhile: ONNX Runtime's products of two rows or more are alike."""
    runner = OnnxRunner(request.getfixturevalue(graphs), STREAMS, 256, threads=THREADS)
    rng = np.random.default_rng(0)
    columns = torch.from_numpy(rng.integers(0, 1024, (20, STREAMS, runner.layout.num_codebooks)))
    found = []
    for streams in range(1, STREAMS + 1):
        for slot in range(streams):
            runner.prefill(slot, 0, text(slot, 30 + slot))
        places = [30 + slot for slot in range(streams)]
        steps = [runner.decode(c[:streams], [p + n for p in places])[0].clone() for n, c in enumerate(columns)]
        found.append((torch.stack(steps), runner.read(0, 0, 50)))
    for logits, held in found[1:]:
        assert torch.equal(logits, found[0][0]) and torch.equal(held, found[0][1])


def test_speaking_rounds_otherwise_than_reading_which_is_why_it_is_read_again(
    two_graphs: Path, figure: Callable[[str, str], None]
) -> None:
    runner = OnnxRunner(two_graphs, 2, 256, threads=THREADS)
    columns = np.random.default_rng(0).integers(0, 1024, (60, runner.layout.num_codebooks))
    for slot in range(2):
        runner.prefill(slot, 0, text(0, 30))
    runner.prefill(1, 30, AudioSegment(columns))
    for position, column in enumerate(torch.from_numpy(columns), start=30):
        runner.decode(column[None], [position])
    difference = (runner.read(0, 0, 90) - runner.read(1, 0, 90)).abs().max().item()
    figure("keys and values, spoken against read", f"{difference:.1e} at most")
    assert 0 < difference < 2e-5, "if they are equal, speech need not be read again"
