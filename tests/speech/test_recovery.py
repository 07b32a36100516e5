"""What is tried when a part ends with an error before any of it was heard."""

from __future__ import annotations

import pytest

from runtime.formats import errors
from runtime.formats.errors import (
    CUDAFailureError,
    EngineError,
    GenerationTimeoutError,
    MemoryExhaustionError,
    RequestError,
)
from runtime.formats.window import FinishReason, Window
from runtime.speech.recovery import REMEDIES
from tests.speech.stage import Stage, flat, part, plan

STOP, RUNAWAY = FinishReason.STOP, FinishReason.RUNAWAY
NO_MEMORY, BUG = MemoryExhaustionError("no more"), EngineError("a bug")


@pytest.fixture
def stage() -> Stage:
    """One part was spoken, and is the second's context."""
    made = Stage()
    made.speak(plan(part(ids=(7,)), part(ids=(8,))))
    made.say(10, STOP)
    return made


def fail(stage: Stage, error: RequestError) -> None:
    stage.engine.fail(error)
    stage.run()


def test_every_class_has_its_line_in_the_table() -> None:
    classes = {one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, RequestError)}
    assert set(REMEDIES) == classes - {RequestError}


def test_without_memory_caches_go_first_then_the_context(stage: Stage) -> None:
    fail(stage, NO_MEMORY)
    _, second, third = stage.engine.requests
    assert stage.engine.caches_freed == 1
    assert (flat(third.prompt), third.sampling) == (flat(second.prompt), second.sampling), "the same speech"
    fail(stage, NO_MEMORY)
    assert flat(stage.engine.requests[-1].prompt) == [1, 2, 3, 8]
    assert stage.engine.requests[-1].sampling == second.sampling
    stage.say(12, STOP)
    assert stage.report["error_chain"] == [
        "MemoryExhaustionError: caches freed",
        "MemoryExhaustionError: without context",
    ]
    assert stage.report["retries"] == 0
    assert stage.heard[-1].finish_reason is STOP


def test_an_unknown_failure_is_tried_once_without_context_then_told(stage: Stage) -> None:
    fail(stage, BUG)
    assert flat(stage.engine.requests[-1].prompt) == [1, 2, 3, 8]
    fail(stage, BUG)
    assert stage.heard[-1] is BUG
    assert not stage.engine.live


def test_each_part_has_all_its_chances() -> None:
    stage = Stage()
    stage.speak(plan(part(), part()))
    for _ in range(2):
        fail(stage, BUG)
        stage.say(10, STOP)
    assert stage.heard[-1].finish_reason is STOP
    assert stage.report["error_chain"] == ["EngineError: without context"] * 2
    assert [request.continues for request in stage.engine.requests] == [False, True, True, True], "no queue refuses it"


def test_what_was_heard_is_not_spoken_again(stage: Stage) -> None:
    stage.say(10)
    fail(stage, NO_MEMORY)
    assert stage.heard[-1] is NO_MEMORY


@pytest.mark.parametrize("error", [CUDAFailureError("gone"), GenerationTimeoutError("late")])
def test_what_cannot_help_is_not_tried(stage: Stage, error: RequestError) -> None:
    fail(stage, error)
    assert stage.heard[-1] is error


def test_it_can_be_switched_off() -> None:
    stage = Stage()
    stage.speak(plan(part(), fallback_modes=False))
    fail(stage, NO_MEMORY)
    assert stage.heard == [NO_MEMORY]


def test_attempts_with_other_seeds_and_remedies_do_not_count_for_each_other() -> None:
    stage = Stage()
    stage.speak(plan(part(), max_retries=1))
    stage.say(0, RUNAWAY)
    fail(stage, BUG)
    seeds = [request.sampling.seed for request in stage.engine.requests]
    assert seeds[0] != seeds[1] == seeds[2]
    stage.say(10, STOP)
    assert (stage.report["retries"], len(stage.report["error_chain"])) == (1, 1)


def test_a_stream_whose_audio_cannot_be_sent_ends_once_and_stops_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[object] = []

    def send(event: object) -> None:
        if isinstance(event, Window) and event.finish_reason is None:
            raise OSError("no shared memory is left")
        heard.append(event)

    stage = Stage()
    monkeypatch.setattr(stage, "_send", send)
    stage.speak(plan(part(), part()))
    stage.say(10)
    stage.run()
    assert not stage.engine.live
    assert [type(event) for event in heard] == [EngineError]
