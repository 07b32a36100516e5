"""Every field of a plan and of a window has its type and its bounds: whatever stands there, one sentence refuses it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, asdict, fields
from functools import partial
from typing import Any

import numpy as np
import pytest

from runtime.formats.errors import InvalidRequestError
from runtime.formats.part_text import PartText, Word
from runtime.formats.speech_plan import PlannedPart, RunawayGuard, SamplingParameters, SpeechPlan, WindowPlan
from runtime.formats.window import Window
from tests.speech.stage import part, plan

CODES = np.zeros((8, 5), np.int32)
PLAN = asdict(plan(part(guard=RunawayGuard(loop_frames=20, silence_frames=100)), about={"voices": {}}))
WINDOW = json.loads(Window(CODES, count=5, speaker="Anna").write())
# Where each dataclass's fields stand within the plan.
PLACES: dict[type, tuple[str | int, ...]] = {
    SpeechPlan: (),
    SamplingParameters: ("sampling",),
    WindowPlan: ("windows",),
    PlannedPart: ("parts", 0),
    RunawayGuard: ("parts", 0, "guard"),
    PartText: ("parts", 0, "said"),
    Word: ("parts", 0, "said", "words", 0),
}
NEVER = [math.nan, math.inf, -math.inf, -1, 2**63, 10**400, -(10**30)]
WRONG: dict[str, list[Any]] = {
    "int": [*NEVER, 1.5, 60.0, "1", None, True, [1], {}],
    "float": [*NEVER, "1", None, True, [1], {}],
    "bool": [0, 1, "true", None, [], math.nan],
    "str": [1, None, True, ["a"], {}, math.nan],
    "dict[str, Any]": [1, None, "x", [], [["a", 1]], math.nan],
    "tuple[int, ...]": [1, None, "12", {"1": 2}, [1.5], [math.nan], [True], ["1"], [None], [[1]]],
    "tuple[tuple[int, ...], ...]": [1, None, [1], [[1.5]], ["12"], [[True]], [None], []],
    "tuple[Word, ...]": [1, None, [1], "x", {"x": 1}, [{}], [[]], [None]],
    "tuple[PlannedPart, ...]": [1, None, [], [1], "x", {}, [{}], [[]], [None]],
}
NESTED: list[Any] = [1, None, "x", [], {}, math.nan]


def hostile_plans() -> Iterator[tuple[str, list[Any]]]:
    """Of every field its name and the plans in which it is wrong, missing or one too many."""
    for kind, place in PLACES.items():
        for field in fields(kind):
            wrong = [value for value in WRONG.get(str(field.type), NESTED) if field.name != "guard" or value != {}]
            if field.default is MISSING:
                wrong.append(MISSING)
            yield f"{kind.__name__}.{field.name}", [changed(PLAN, (*place, field.name), value) for value in wrong]
        yield f"{kind.__name__}.another", [changed(PLAN, (*place, "another"), 1)]


def changed(values: Any, place: tuple[str | int, ...], value: Any) -> Any:
    """The values with another one at that place, or none."""
    copy = json.loads(json.dumps(values))
    inner = copy
    for key in place[:-1]:
        inner = inner[key]
    if value is MISSING:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return copy


def test_the_unchanged_plan_and_window_are_read() -> None:
    assert SpeechPlan.read(json.dumps(PLAN)).parts[0].guard.loop_frames == 20
    assert Window.read(CODES, json.dumps(WINDOW)).speaker == "Anna"


def test_the_most_positions_are_those_of_the_longest_part_with_its_context() -> None:
    long = part(ids=(1, 2, 3), max_frames=50, guard=RunawayGuard(max_frames=20))
    assert plan(part(max_frames=9), long, context_parts=0).most_positions == 3 + 3 + 20
    assert plan(part(max_frames=9), long, context_parts=2).most_positions == 3 + 3 * (3 + 20)
    assert plan(part(max_frames=50), context_parts=0).most_positions == 3 + 2 + 50


@pytest.mark.parametrize(("field", "plans"), hostile_plans())
def test_a_plan_with_one_wrong_field_is_refused(field: str, plans: list[Any]) -> None:
    assert plans
    for values in plans:
        refused(SpeechPlan.read, values)


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "1", '"x"', "[" * 100_000, '{"a": ' * 100_000, "\ud800"])
def test_what_is_no_plan_and_no_window_is_refused(text: str) -> None:
    for read in (SpeechPlan.read, partial(Window.read, CODES)):
        with pytest.raises(InvalidRequestError):
            read(text)


WRONG_OF_A_WINDOW: dict[str, list[Any]] = {
    "int": [*NEVER, 1.5, 5.0, "1", None, True, [1], {}],
    # No time limit is a deadline, too.
    "float": [value for value in WRONG["float"] if value != math.inf],
    "bool": WRONG["bool"],
    "str": WRONG["str"],
    "FinishReason | None": ["done", 1, ["stop"], {"a": 1}, math.nan],
    "dict[str, Any] | None": [1, "x", ["a"], math.nan, True],
}


@pytest.mark.parametrize(
    "field", [field for field in fields(Window) if field.name != "codes"], ids=lambda one: one.name
)
def test_a_window_with_one_wrong_field_is_refused(field: Field[Any]) -> None:
    for value in WRONG_OF_A_WINDOW[str(field.type)]:
        refused(partial(Window.read, CODES), WINDOW | {field.name: value})


def refused(read: Callable[[str], object], values: Any) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        read(json.dumps(values))
    assert len(str(refusal.value)) < 400
