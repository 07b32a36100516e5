"""Steps get smaller when memory is short, and larger again."""

from __future__ import annotations

from runtime.engine.inflight.step_size import SMALLER_SECONDS, StepSize


def test_it_is_halved_by_failures_and_doubles_with_time() -> None:
    now = 0.0
    size = StepSize(10, clock=lambda: now)
    assert size.size == 10
    size.halve(9)
    assert size.size == 4
    size.halve(4)
    size.halve(2)
    size.halve(1)
    assert size.size == 1
    seen = []
    while size.size < 10:
        seen.append(size.size)
        now += SMALLER_SECONDS
    assert seen == [1, 2, 4, 8]
    size.halve(10)
    size.reset()
    assert size.size == 10
