"""Who gets the next place in the executor."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from runtime.engine.roster import Roster
from runtime.engine.types import Limits, Pace

LIMITS = Limits(max_streams=1, max_waiting=9, max_positions=1024, prefill_tokens_per_step=32, context_frames=10)


def test_a_next_part_that_may_wait_lets_others_have_its_place() -> None:
    roster = Roster[Any](LIMITS)
    with roster.lock:
        for key, (name, continues) in enumerate({"new": False, "ahead": True, "far ahead": True}.items()):
            stream: Any = SimpleNamespace(
                request=SimpleNamespace(request_id=name, continues=continues, timeout=60.0),
                deadline=time.monotonic() + 60.0,
                key=key,
                place=-1,
            )
            roster.admit(stream)
        roster.pace = Pace(resting=frozenset(("far ahead",)), yielding=frozenset(("ahead",)))
        for name in ("new", "ahead"):
            stream = roster.next()
            assert stream.request.request_id == name
            assert roster.next() is None
            roster.vacate(stream)
        assert roster.next() is None, "the codec has enough of it"
        roster.pace = Pace()
        assert (last := roster.next()) is not None and last.request.request_id == "far ahead"
