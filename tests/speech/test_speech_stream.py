"""Plans on an engine that a test speaks for: order, joins, retries, ends."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from runtime.engine.delay_pattern import delay
from runtime.engine.types import AudioSegment
from runtime.formats.errors import CUDAFailureError, GenerationTimeoutError, OverloadedError
from runtime.formats.speech_plan import RunawayGuard
from runtime.formats.window import FinishReason, Window
from runtime.speech.attempt import part_seed
from tests.speech.stage import LAYOUT, Stage, flat, part, plan

STOP, LENGTH, RUNAWAY, CANCELLED = FinishReason.STOP, FinishReason.LENGTH, FinishReason.RUNAWAY, FinishReason.CANCELLED


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_two_parts_are_one_stream(stage: Stage) -> None:
    stage.speak(plan(part("Anna"), part("Bob", pause=9)))
    stage.say(10)
    stage.say(4, STOP)
    stage.say(10)
    stage.say(3, STOP)
    assert [(window.start, window.count, window.pause) for window in stage.windows] == [
        (0, 10, 0),
        (10, 4, 5),
        (19, 10, 0),
        (29, 3, 0),
    ]
    assert [(window.begins, window.ends) for window in stage.windows] == [
        (False, False),
        (False, True),
        (True, False),
        (False, False),
    ]
    assert [(window.part, window.speaker) for window in stage.windows] == [(0, "Anna")] * 2 + [(1, "Bob")] * 2
    assert [window.finish_reason for window in stage.windows] == [None, None, None, STOP]
    assert [(one["start"], one["stop"], one["retries"]) for one in stage.report["parts"]] == [
        (0, 0.56, 0),
        (0.76, 1.28, 0),
    ]
    assert stage.report["seed"] == 42


@pytest.mark.parametrize("hold", [False, True])
def test_the_first_window_of_each_part_says_its_words(stage: Stage, hold: bool) -> None:
    stage.speak(plan(part("Anna"), part("Bob"), hold_parts=hold))
    stage.say(3, RUNAWAY)  # nobody hears it
    for frames, reason in ((10, None), (4, STOP), (10, None), (3, STOP)):
        stage.say(frames, reason)
    told = [window.said and window.said["written"] for window in stage.windows]
    assert told == ["Anna says (7, 8)", None, "Bob says (7, 8)", None]
    first = stage.windows[0]
    read = Window.read(first.codes, first.write()).said
    assert read is not None and read["words"][1] == {"text": "two", "start": 5, "stop": 10, "share": 0.6}


def test_the_next_prompt_holds_the_part_before_as_it_was_spoken(stage: Stage) -> None:
    stage.speak(plan(part(ids=(7, 8)), part(ids=(9,))))
    first = stage.say(10)
    rest = stage.say(4, STOP)
    prompt = stage.engine.requests[1].prompt
    columns = delay(np.concatenate([first, rest], axis=1), LAYOUT)
    assert flat(prompt) == [1, 2, 3, 7, 8, *(columns[:, 0] + 1000), 4, 5, 9]
    (audio,) = (segment for segment in prompt.segments if isinstance(segment, AudioSegment))
    np.testing.assert_array_equal(audio.columns, columns)


def test_parts_of_different_prefixes_are_no_context_of_each_other(stage: Stage) -> None:
    stage.speak(plan(part(ids=(7,), prefix=0), part(ids=(8,), prefix=1), part(ids=(9,), prefix=0)))
    stage.say(10, STOP)
    said = stage.say(12, STOP)
    assert said.shape[1] == 12
    first, second, third = [request.prompt for request in stage.engine.requests]
    assert (flat(first), flat(second)) == ([1, 2, 3, 7], [6, 8])
    assert len(third) == 4 + 10 + 1 + LAYOUT.num_codebooks + 3


def test_the_next_part_is_with_the_engine_before_the_last_windows_leave(stage: Stage) -> None:
    stage.speak(plan(part(), part()))
    stage.say(10, STOP)
    assert stage.submissions_when_sent == [2]
    assert [request.continues for request in stage.engine.requests] == [False, True]


@pytest.mark.parametrize("hold", [False, True])
def test_a_runaway_is_tried_again_as_long_as_nobody_heard_it(stage: Stage, hold: bool) -> None:
    stage.speak(plan(part(), hold_parts=hold))
    stage.say(0, RUNAWAY)
    if hold:
        stage.say(10)
        assert not stage.windows, "a held part leaves when it has ended well"
        stage.say(3, RUNAWAY)
    stage.say(10)
    stage.say(2, STOP)
    assert [(window.start, window.count) for window in stage.windows] == [(0, 10), (10, 2)]
    assert stage.report["retries"] == (2 if hold else 1)
    assert stage.heard[-1].finish_reason is STOP
    seeds = [request.sampling.seed for request in stage.engine.requests]
    assert seeds == [part_seed(42, 0, attempt) for attempt in range(len(seeds))]
    assert len(set(seeds)) == len(seeds)


def test_a_runaway_that_was_heard_stays_and_never_becomes_context(stage: Stage) -> None:
    stage.speak(plan(part(ids=(7,)), part(ids=(8,))))
    stage.say(10)
    stage.say(3, RUNAWAY)
    assert flat(stage.engine.requests[1].prompt) == [1, 2, 3, 8]
    assert stage.windows[-1].ends, "it was cut off and must not click"
    stage.say(10, STOP)
    assert stage.heard[-1].finish_reason is RUNAWAY
    assert [one["finish_reason"] for one in stage.report["parts"]] == ["runaway", "stop"]


def test_a_part_that_stops_too_early_is_tried_again_and_then_told(stage: Stage) -> None:
    stage.speak(plan(part(least_frames=20), max_retries=2))
    for _ in range(3):
        stage.say(12, STOP)
    assert len(stage.engine.requests) == 3
    assert [window.count for window in stage.windows] == [12], "only the last attempt is heard"
    assert (stage.heard[-1].finish_reason, stage.report["retries"]) == (RUNAWAY, 2)


def test_no_retries_means_none(stage: Stage) -> None:
    stage.speak(plan(part(), max_retries=0))
    stage.say(0, RUNAWAY)
    assert (stage.heard[-1].finish_reason, len(stage.engine.requests)) == (RUNAWAY, 1)


def test_the_whole_speech_is_bounded_not_only_its_parts(stage: Stage) -> None:
    stage.speak(plan(part(max_frames=15), part(max_frames=50), part(), max_frames=40))
    assert stage.engine.requests[0].max_frames == 15
    stage.say(15, LENGTH)
    assert stage.engine.requests[1].max_frames == 20
    stage.say(20, LENGTH)
    assert not stage.engine.live
    assert stage.heard[-1].finish_reason is LENGTH
    assert sum(window.count + window.pause for window in stage.windows) == 40


def test_a_pause_that_reaches_the_bound_ends_the_speech_before_it(stage: Stage) -> None:
    stage.speak(plan(part(), part(), max_frames=14))
    stage.say(10, STOP)
    assert [(window.count, window.pause, window.finish_reason) for window in stage.windows] == [(10, 0, LENGTH)]


def test_a_stream_is_cancelled_in_a_part_and_between_two(stage: Stage) -> None:
    stream = stage.speak(plan(part("Anna"), part("Bob")))
    stage.say(10)
    stream.cancel()
    stage.run()
    assert stage.heard[-1].finish_reason is CANCELLED
    assert stage.report["parts"][0]["finish_reason"] == "cancelled"

    between = Stage()
    stream = between.speak(plan(part(), part()))
    between.engine.say(10, STOP)  # the engine is done, the stream has not heard of it yet
    stream.cancel()
    between.run()
    assert between.heard[-1].finish_reason is CANCELLED
    assert not between.engine.live
    assert (between.windows[0].count, between.windows[-1].start) == (10, 15)


def test_errors_end_the_stream_behind_its_audio(stage: Stage) -> None:
    stage.speak(plan(part(), part()))
    stage.engine.refusal = OverloadedError("no room")
    stage.say(10, STOP)
    assert stage.windows[0].count == 10
    assert isinstance(stage.heard[-1], OverloadedError)

    failing = Stage()
    failing.speak(plan(part(), part()))
    failing.engine.fail(CUDAFailureError("gone"))
    failing.run()
    assert [type(event) for event in failing.heard] == [CUDAFailureError]


def test_one_time_limit_holds_for_all_parts(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("runtime.speech.speech_stream.time", SimpleNamespace(monotonic=lambda: now))
    stage.speak(plan(part(), part(), part(), timeout=10.0, arrived=98.0))
    now += 6.0
    stage.say(10, STOP)
    assert [request.timeout for request in stage.engine.requests] == [8.0, 2.0]
    now += 5.0
    stage.say(10, STOP)
    assert isinstance(stage.heard[-1], GenerationTimeoutError)


def test_the_guard_and_the_seed_of_each_part_are_its_own(stage: Stage) -> None:
    guard = RunawayGuard(max_frames=30, silence_frames=9)
    stage.speak(plan(part(guard=guard), part()))
    stage.say(10, STOP)
    first, second = stage.engine.requests
    assert (first.guard, second.guard) == (guard, RunawayGuard())
    assert first.sampling.seed == 42, "a text of one part sounds as it always did"
    assert second.sampling.seed == part_seed(42, 1, 0) != part_seed(43, 1, 0)
