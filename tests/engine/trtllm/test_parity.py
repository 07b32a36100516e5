"""Codes of the TensorRT-LLM engine, over the stand-in executor, equal transformers' and the ONNX engine's.

The stand-in proves the adapter: ids, frame table, callback, joining and leaving. It proves nothing of NVIDIA's kernels.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtime.engine.delay_pattern import delay
from runtime.engine.inflight.engine import Engine
from runtime.engine.inflight.onnx_runner import OnnxRunner
from runtime.engine.trtllm.executor_config import ExecutorOptions
from runtime.engine.types import (
    AudioSegment,
    FinishReason,
    Prompt,
    Segment,
    TextSegment,
)
from tests.engine.orders import codes
from tests.engine.trtllm.conftest import Start, until
from tests.engine.trtllm.orders import FRAMES, GREEDY, LIMITS, SAMPLING, invite_visitors, order, random_prompt
from tests.engine.trtllm.standin.executor import BLOCK
from tests.serving.higgs import TEXT, WORDS, Generated, Higgs
from tools.bench.listening import listen

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plain(higgs: Higgs) -> Generated:
    return higgs.generate(FRAMES, TEXT)


@pytest.fixture(scope="module")
def cloned(higgs: Higgs, clip: np.ndarray) -> Generated:
    return higgs.generate(FRAMES, TEXT, clip, WORDS)


@pytest.mark.parametrize("company", [False, True], ids=["alone", "among others"])
@pytest.mark.parametrize("case", ["plain", "cloned"])
def test_greedy_codes_equal_transformers(
    case: str,
    company: bool,
    higgs: Higgs,
    start: Start,
    request: pytest.FixtureRequest,
    figure: Callable[[str, str], None],
) -> None:
    expected: Generated = request.getfixturevalue(case)
    assert expected.codes.shape[1] >= FRAMES - 20, "too short to mean much"
    engine, executor = start(LIMITS)
    if company:
        invite_visitors(engine)
    actual = codes(list(listen(engine, order("subject", higgs.prompt(expected)))))
    np.testing.assert_array_equal(actual, expected.codes)
    if company:
        sizes = {len(keys) for keys in executor.history}
        assert len(sizes) >= 4, f"the others must join and leave while the stream runs; batches had {sizes}"
    where = "among fourteen that join and leave" if company else "alone"
    figure(f"TensorRT-LLM engine over the stand-in, {case}, {where}", f"{actual.shape[1]} frames x 8, all equal")


@pytest.fixture(scope="module")
def onnx_engine(bundle: Path) -> Iterator[Engine]:
    runner = OnnxRunner(bundle / "model_repository" / "lm" / "1" / "weights", LIMITS.max_streams, 1024, threads=1)
    engine = Engine(runner, replace(LIMITS, max_positions=1024))
    yield engine
    engine.close()


@pytest.mark.parametrize("clip_frames", [0, 30], ids=["no reference", "reference clip"])
def test_sampled_codes_equal_the_onnx_engines(
    clip_frames: int, start: Start, onnx_engine: Engine, figure: Callable[[str, str], None]
) -> None:
    engine, _ = start(LIMITS)
    frames = 0
    for number in range(3):
        prompt = random_prompt(100 + number, engine.description.layout, clip_frames)
        request = order(f"seed{number}", prompt, replace(SAMPLING, seed=number), frames=60)
        expected, actual = codes(list(listen(onnx_engine, request))), codes(list(listen(engine, request)))
        np.testing.assert_array_equal(actual, expected)
        frames += actual.shape[1]
    assert frames > 60
    figure(f"sampled codes, TensorRT-LLM engine against ONNX engine, clip of {clip_frames}", f"{frames} frames equal")


def test_repetition_counts_the_end_of_the_clip_as_the_onnx_engine_does(start: Start, onnx_engine: Engine) -> None:
    """The clip is what the model would say anyway, and nothing may be said twice."""
    engine, _ = start(LIMITS)
    layout = engine.description.layout
    said = codes(list(listen(onnx_engine, order("said", random_prompt(3, layout), frames=40))))
    text = TextSegment(np.random.default_rng(3).integers(0, 256, 23))
    prompt = Prompt((text, AudioSegment(delay(said, layout)), text))
    strict = replace(GREEDY, ras_window=64, ras_max_repeats=1)
    request = order("strict", prompt, strict, frames=30)
    expected, actual = codes(list(listen(onnx_engine, request))), codes(list(listen(engine, request)))
    free = codes(list(listen(onnx_engine, order("free", prompt, frames=30))))
    assert (expected[:, :3] != free[:, :3]).any(), "the clip must matter from the start"
    np.testing.assert_array_equal(actual, expected)


def test_a_stream_that_ends_by_itself_leaves_by_the_end_id_with_the_same_codes(
    start: Start, onnx_engine: Engine, figure: Callable[[str, str], None]
) -> None:
    engine, executor = start(LIMITS)
    prompt = random_prompt(7, engine.description.layout)
    for seed in range(100):  # the demo model's end mark comes by chance; the fast engine looks for a seed that ends
        request = order("chance", prompt, replace(SAMPLING, seed=seed), frames=200)
        expected = list(listen(onnx_engine, request))
        if expected[-1].finish_reason == FinishReason.STOP:
            break
    else:
        pytest.fail("no seed ended by itself")
    actual = list(listen(engine, request))
    assert actual[-1].finish_reason == FinishReason.STOP
    np.testing.assert_array_equal(codes(actual), codes(expected))
    deadline = time.monotonic() + 20
    while engine.stats().live_streams and time.monotonic() < deadline:
        time.sleep(0.001)
    assert executor.ended == {"END_ID": 1}, "the callback ends it, not a limit and not a cancellation"
    # The frame before the first undecodable one is complete num_codebooks - 1 columns after it.
    columns = codes(actual).shape[1] + engine.description.layout.num_codebooks - 1
    late = len(executor.history) - columns
    assert 1 <= late <= 10, "collecting the codes is a step behind, and the collector's thread may be late"
    figure("steps a stream takes after its last code", str(late))


def test_a_seed_gives_the_same_codes_in_any_company(start: Start) -> None:
    engine, _ = start(LIMITS)
    prompt = random_prompt(5, engine.description.layout, clip_frames=20)
    alone = codes(list(listen(engine, order("alone", prompt, SAMPLING, frames=50))))
    invite_visitors(engine)
    together: list[np.ndarray] = []

    def run(number: int) -> None:
        together.append(codes(list(listen(engine, order(f"same{number}", prompt, SAMPLING, frames=50)))))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in together:
        np.testing.assert_array_equal(other, alone)


def test_a_voice_is_read_once_and_no_other_voice_is_taken_for_it(start: Start) -> None:
    """Two clips of one length have the same ids; only what their columns hold tells them apart."""
    engine, executor = start(LIMITS)
    layout = engine.description.layout
    text = TextSegment(np.arange(20))
    clips = [AudioSegment(delay(np.random.default_rng(n).integers(0, 1024, (8, 40)), layout)) for n in range(2)]
    prompts = [Prompt((text, clip, text)) for clip in clips]
    fresh, _ = start(LIMITS, ExecutorOptions(reuse_blocks=False))
    expected = [codes(list(listen(fresh, order(f"fresh{n}", p, frames=30)))) for n, p in enumerate(prompts)]
    assert not np.array_equal(*expected)

    for n in (0, 1):
        read = executor.reused_positions
        np.testing.assert_array_equal(
            codes(list(listen(engine, order(f"first{n}", prompts[n], frames=30)))), expected[n]
        )
        assert executor.reused_positions - read <= len(text), "only the text before the clip is common"
    for n in (0, 1):
        read = executor.reused_positions
        np.testing.assert_array_equal(
            codes(list(listen(engine, order(f"again{n}", prompts[n], frames=30)))), expected[n]
        )
        assert executor.reused_positions - read >= 64, "the voice must not be read again"
    until(lambda: engine.stats().live_streams == 0)
    assert engine.stats().prefix_positions_reused == executor.reused_positions


def test_what_a_stream_spoke_is_read_once_when_it_stands_in_a_prompt_and_reused_from_then_on(start: Start) -> None:
    """The executor knows generated columns by a row of a table, which says nothing of what they hold."""
    engine, executor = start(LIMITS)
    fresh, _ = start(LIMITS, ExecutorOptions(reuse_blocks=False))
    layout = engine.description.layout
    text = TextSegment(np.arange(40))
    segments: tuple[Segment, ...] = (text,)
    reused = []
    for part in range(3):
        read = executor.reused_positions
        spoken = codes(list(listen(engine, order(f"part{part}", Prompt(segments), frames=40))))
        reused.append((executor.reused_positions - read, sum(map(len, segments))))
        np.testing.assert_array_equal(
            spoken, codes(list(listen(fresh, order(f"part{part}", Prompt(segments), frames=40))))
        )
        segments = (*segments, AudioSegment(delay(spoken.astype(np.int64), layout)), text)
    (_, first), (second_reused, second), (third_reused, _) = reused
    assert first - BLOCK < second_reused <= first, "all but what was spoken last"
    assert second - BLOCK < third_reused <= second


def test_a_stream_that_sits_steps_out_gets_the_same_codes(start: Start) -> None:
    engine, executor = start(LIMITS)
    prompts = [random_prompt(n, engine.description.layout, clip_frames=9) for n in range(4)]
    expected = [codes(list(listen(engine, order(f"alone{n}", p, SAMPLING, frames=30)))) for n, p in enumerate(prompts)]
    executor.sit_out = lambda keys: {key for key in keys if (executor.steps + key) % 3 == 0 and len(keys) > 1}
    actual: dict[int, np.ndarray] = {}

    def run(number: int) -> None:
        actual[number] = codes(list(listen(engine, order(f"seat{number}", prompts[number], SAMPLING, frames=30))))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        np.testing.assert_array_equal(actual[number], expected[number])
