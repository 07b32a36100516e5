"""Steps get smaller when memory is short, and larger again; whatever their size, every slot is stepped once."""

from __future__ import annotations

import pytest
import torch

from runtime.engine.inflight.step_size import SMALLER_SECONDS, StepSize

SLOTS = [0, 1, 2, 4, 5, 7, 8, 9, 11]


class Model:
    """Answers each slot with its number, for at most `room` at a time; an answer is good until the next call."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.answer = torch.zeros(len(SLOTS), dtype=torch.int64)
        self.sizes: list[int] = []

    def __call__(self, slots: list[int]) -> torch.Tensor:
        if len(slots) > self.room:
            raise MemoryError("Failed to allocate memory for requested buffer")
        self.sizes.append(len(slots))
        self.answer[: len(slots)] = torch.tensor(slots)
        return self.answer[: len(slots)]


@pytest.mark.parametrize("room", range(1, 10))
def test_every_slot_is_stepped_once_in_its_order(room: int) -> None:
    model = Model(room)
    assert StepSize(16).run(model, SLOTS).tolist() == SLOTS
    assert max(model.sizes) <= room and sum(model.sizes) == len(SLOTS)


def test_it_is_halved_by_failures_and_doubles_with_time() -> None:
    now, model = 0.0, Model(2)
    size = StepSize(9, clock=lambda: now)
    size.run(model, SLOTS)
    assert model.sizes == [2, 2, 2, 2, 1]
    model.room = 9
    largest = []
    for _ in range(4):
        model.sizes.clear()
        size.run(model, SLOTS)
        largest.append(max(model.sizes))
        now += SMALLER_SECONDS
    assert largest == [2, 4, 8, 9]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("kernel exploded")])
def test_what_smaller_steps_do_not_help_is_raised_and_leaves_no_mark(error: Exception) -> None:
    def fail(slots: list[int]) -> torch.Tensor:
        raise error

    size, model = StepSize(9), Model(9)
    with pytest.raises(type(error)):
        size.run(fail, SLOTS)
    size.run(model, SLOTS)
    assert model.sizes == [9]
