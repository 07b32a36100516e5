"""Who is let into an engine."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.engine.admission import admit, code_stream, timed_out
from runtime.engine.types import CodebookLayout, Limits, Prompt, Request, SamplingParameters, TextSegment, WindowPlan
from runtime.formats.errors import InvalidRequestError, ModelLoadingError, OverloadedError

LIMITS = Limits(max_streams=2, max_waiting=1, max_positions=100, prefill_tokens_per_step=16, context_frames=10)
LAYOUT = CodebookLayout(num_codebooks=8, codebook_size=1026, stream_bos_id=1024, stream_eos_id=1025)


def order(request_id: str = "new", positions: int = 10, continues: bool = False, max_frames: int = 1000) -> Request:
    prompt = Prompt((TextSegment(np.zeros(positions, np.int64)),))
    sampling = SamplingParameters(0.0, 0, 1.0, 0, 1, 0)
    return Request(request_id, prompt, sampling, WindowPlan(10, 1.5, 50), max_frames, 60.0, continues=continues)


@pytest.mark.parametrize(("live", "waiting"), [(0, 0), (0, 2), (1, 1), (2, 0)])
def test_as_many_wait_as_there_are_free_slots_and_places_in_the_queue(live: int, waiting: int) -> None:
    admit(order(), {"other"}, live, waiting, LIMITS, 2.2)
    with pytest.raises(OverloadedError, match=f"{live} streams are live and .* requests wait, .*try again in 3 s"):
        admit(order(), {"other"}, live, 3 - live, LIMITS, 2.2)


@pytest.mark.parametrize(("seconds_per_stream", "told"), [(0.0, "1 s"), (1.0, "1 s"), (59.2, "60 s"), (1e9, "60 s")])
def test_who_is_refused_hears_when_a_stream_ends(seconds_per_stream: float, told: str) -> None:
    with pytest.raises(OverloadedError, match=f"try again in {told}$"):
        admit(order(), set(), 2, 1, LIMITS, seconds_per_stream)


def test_what_continues_is_never_one_too_many() -> None:
    admit(order(continues=True), set(), live=2, waiting=9, limits=LIMITS, seconds_per_stream=1)


def test_an_id_that_is_taken_is_refused_also_for_what_continues() -> None:
    for continues in (False, True):
        with pytest.raises(InvalidRequestError, match="a request with the id 'new' is already being served"):
            admit(order(continues=continues), {"new"}, 0, 0, LIMITS, 1)


def test_a_closing_engine_lets_nobody_in() -> None:
    with pytest.raises(ModelLoadingError, match="the engine is stopping"):
        admit(order(continues=True), set(), 0, 0, LIMITS, 1, closing=True)


def test_a_prompt_must_leave_room_to_speak() -> None:
    with pytest.raises(InvalidRequestError, match="takes 92 positions of 100, which leaves no room to speak"):
        code_stream(order(positions=92), LAYOUT, LIMITS)
    # Column 0 and seven columns for the later codebooks of the last frame.
    assert code_stream(order(positions=91), LAYOUT, LIMITS).columns_needed == 1 + 8
    assert code_stream(order(positions=10, max_frames=5), LAYOUT, LIMITS).columns_needed == 5 + 8


def test_a_late_request_hears_whether_it_ever_spoke() -> None:
    assert "waited for a free stream" in str(timed_out(waited=True))
    assert "before its speech was complete" in str(timed_out(waited=False))
