"""A stream whose text grows: it waits outside the engine, and sounds as if the whole text had been known."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from runtime.codec.stream_samples import NOTHING, stream_samples
from runtime.formats.errors import GenerationTimeoutError, InvalidRequestError, MemoryExhaustionError
from runtime.formats.more_parts import MoreParts
from runtime.formats.speech_plan import PlannedPart
from runtime.formats.window import FinishReason, Window
from runtime.speech.growing_stream import GrowingStream
from tests.speech.stage import Stage, part, plan

STOP, LENGTH, RUNAWAY, CANCELLED = FinishReason.STOP, FinishReason.LENGTH, FinishReason.RUNAWAY, FinishReason.CANCELLED
HOP, FADE = 4, 3


def more(*parts: PlannedPart, pause: int = 5, ended: bool = False, fault: str = "", **about: Any) -> MoreParts:
    return MoreParts("id", pause, parts, ended, fault, about)


def samples(windows: list[Window]) -> np.ndarray:
    """What the codec's stage makes of them, with a frame's number, counted from 1, as its samples."""
    made: list[np.ndarray] = []
    held = NOTHING
    for window in windows:
        new = np.repeat(np.arange(window.start, window.start + window.count) / 1000 + 0.1, HOP).astype(np.float32)
        assert sum(map(len, made)) + len(held) == window.start * HOP
        sound, held = stream_samples(new, window, HOP, FADE, held)
        made.append(sound)
    return np.concatenate(made)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def spoken_whole() -> Stage:
    stage = Stage()
    stage.speak(plan(part("Anna"), part("Bob")))
    speak_two(stage)
    return stage


def speak_two(stage: Stage) -> None:
    for frames, reason in ((10, None), (4, STOP), (10, None), (3, STOP)):
        stage.say(frames, reason)


@pytest.mark.parametrize("early", [False, True])
def test_it_sounds_as_the_whole_text(stage: Stage, early: bool) -> None:
    stream = stage.speak_growing(plan(part("Anna"), text_timeout=60.0))
    if early:  # both before the first part is spoken
        stream.extend(more(part("Bob")))
        stream.extend(more(ended=True))
        stage.run()
        speak_two(stage)
    else:
        stage.say(10)
        stage.say(4, STOP)
        assert stage.waits == [True] and not stage.engine.live
        stream.extend(more(part("Bob")))
        stage.run()
        assert stage.waits == [True, False]
        stage.say(10)
        stage.say(3, STOP)
        assert stage.windows[-1].finish_reason is None
        stream.extend(more(ended=True))
        stage.run()
    expected = spoken_whole()
    assert stage.report == expected.report
    assert stage.windows[-1].finish_reason is STOP
    np.testing.assert_array_equal(samples(stage.windows), samples(expected.windows))
    assert [request.prompt.segments[0] for request in stage.engine.requests] == [
        request.prompt.segments[0] for request in expected.engine.requests
    ]
    assert [(one.sampling.seed, one.continues) for one in stage.engine.requests] == [
        (one.sampling.seed, one.continues) for one in expected.engine.requests
    ]


def test_it_may_begin_without_a_text(stage: Stage) -> None:
    stream = stage.speak_growing(plan(text_timeout=60.0))
    assert stage.waits == [True] and not stage.engine.requests
    stream.extend(more(part("Anna"), part("Bob"), language={"code": "fr"}))
    stream.extend(more(ended=True))
    stage.run()
    speak_two(stage)
    np.testing.assert_array_equal(samples(stage.windows), samples(spoken_whole().windows))
    assert stage.report["language"] == {"code": "fr"}


@pytest.mark.parametrize("spoken", [False, True])
def test_a_cancelled_one_ends_at_once_and_says_how_far_it_came(stage: Stage, spoken: bool) -> None:
    stream = stage.speak_growing(plan(part(), text_timeout=60.0))
    stage.say(20)  # of 40 that are expected: the first word, and an eighth of the second
    if spoken:
        stage.say(2, STOP)
    stream.cancel()
    stage.run()
    assert stage.windows[-1].finish_reason is CANCELLED
    assert [one["characters"] for one in stage.report["parts"]] == [(0, 10) if spoken else (0, 4)]
    stream.extend(more(part()))
    stream.look(time.monotonic() + 1000)
    stage.run()
    assert stage.windows[-1].finish_reason is CANCELLED and not stage.engine.live


def test_a_wait_has_an_end(stage: Stage) -> None:
    stream = stage.speak_growing(plan(part(), text_timeout=9.0))
    assert not stream.look(time.monotonic() + 50), "it speaks"
    stage.say(10, STOP)
    assert stream.look(time.monotonic() + 8)
    stage.run()
    assert isinstance(stage.heard[-1], Window)
    stream.look(time.monotonic() + 10)
    stage.run()
    assert isinstance(stage.heard[-1], GenerationTimeoutError)
    assert "no more text came for 9 s" in str(stage.heard[-1])


def test_text_that_came_at_the_last_moment_is_spoken(stage: Stage) -> None:
    stream = stage.speak_growing(plan(text_timeout=9.0))
    stream.extend(more(part()))
    stream.look(time.monotonic() + 10)
    stage.run()
    assert stage.engine.live and not stage.heard


@pytest.mark.parametrize("waits", [False, True])
def test_what_is_wrong_with_the_text_is_heard_behind_what_was_right(stage: Stage, waits: bool) -> None:
    stream = stage.speak_growing(plan(part(), text_timeout=60.0))
    if waits:
        stage.say(10, STOP)
    stream.extend(more(ended=True, fault="InvalidRequestError: this is no text"))
    stage.run()
    if not waits:
        stage.say(10, STOP)
    assert isinstance(stage.heard[-1], InvalidRequestError) and str(stage.heard[-1]) == "this is no text"
    assert sum(window.count for window in stage.windows) == 10


def test_a_part_that_ran_away_fades_out_before_it_is_known_what_follows(stage: Stage) -> None:
    stream = stage.speak_growing(plan(part(), text_timeout=60.0, max_retries=0))
    stage.say(10, RUNAWAY)
    assert (stage.windows[-1].ends, stage.windows[-1].open) == (True, False)
    stream.extend(more(part(), ended=True))
    stage.run()
    stage.say(10, STOP)
    assert stage.windows[-1].finish_reason is RUNAWAY
    assert [window.start for window in stage.windows] == [0, 10, 15]


def test_no_more_than_the_longest_speech_is_spoken(stage: Stage) -> None:
    stream = stage.speak_growing(plan(part(max_frames=10), text_timeout=60.0, max_frames=14))
    stage.say(10, LENGTH)
    stream.extend(more(part()))
    stage.run()
    assert stage.windows[-1].finish_reason is LENGTH and not stage.engine.live


def test_a_part_that_no_engine_takes_ends_it(stage: Stage) -> None:
    stream = stage.speak_growing(plan(part(), text_timeout=60.0))
    stage.say(10, STOP)
    stage.engine.refusal = MemoryExhaustionError("none left")
    stream.extend(more(part()))
    stage.run()
    assert isinstance(stage.heard[-1], MemoryExhaustionError)
    assert_is_over(stream, stage)


def assert_is_over(stream: GrowingStream, stage: Stage) -> None:
    heard = len(stage.heard)
    stream.cancel()
    stream.extend(more(part(), ended=True))
    stage.run()
    assert len(stage.heard) == heard
