"""In-flight batching without a model: order, budget, slots. The last test plays thousands of random turns."""

import random

from hypothesis import given
from hypothesis import strategies as st

from runtime.engine.inflight.scheduler import Scheduler, Sequence, Step, breath
from runtime.engine.types import Pace


def sequence(name: str, length: int = 10, deadline: float = 1e9, continues: bool = False) -> Sequence:
    """Its prompt can be read position by position."""
    return Sequence(name, tuple(range(1, length + 1)), deadline, continues)


def run(scheduler: Scheduler) -> Step:
    """Schedule one step and do what an engine does with it."""
    step = scheduler.schedule()
    for prefill in step.prefills:
        prefill.sequence.prefilled += prefill.count
    scheduler.check()
    return step


def test_a_lone_prompt_is_read_at_once_and_decodes_in_the_same_step() -> None:
    scheduler = Scheduler[Sequence](max_streams=2, prefill_tokens_per_step=4)
    scheduler.submit(sequence("a", 100))
    step = run(scheduler)
    assert [p.count for p in step.prefills] == [100]
    assert [s.request_id for s in step.decode] == ["a"]


def test_a_long_prompt_never_takes_more_than_the_budget_from_running_streams() -> None:
    scheduler = Scheduler[Sequence](max_streams=2, prefill_tokens_per_step=16)
    scheduler.submit(sequence("running", 5))
    run(scheduler)
    scheduler.submit(sequence("long", 100))
    pieces = []
    while scheduler.prefilling or scheduler.waiting:
        step = run(scheduler)
        pieces.append(sum(p.count for p in step.prefills))
        assert step.decode[0].request_id == "running", "the running stream must decode in every step"
    assert max(pieces) <= 16 and sum(pieces) == 100


def test_reading_pauses_only_where_it_may() -> None:
    scheduler = Scheduler[Sequence](max_streams=3, prefill_tokens_per_step=16)
    scheduler.submit(sequence("running", 5))
    run(scheduler)
    scheduler.submit(Sequence("long", (7, 14, 30, 31, 40), 1e9))
    scheduler.submit(Sequence("next", (10,), 1e9))
    counts = [[(p.sequence.request_id, p.count) for p in run(scheduler).prefills] for _ in range(4)]
    assert counts == [[("long", 14)], [("long", 16)], [("long", 10)], [("next", 10)]]


def test_requests_are_served_in_the_order_they_came() -> None:
    scheduler = Scheduler[Sequence](max_streams=2, prefill_tokens_per_step=100)
    for name in "abcd":
        scheduler.submit(sequence(name))
    assert [s.request_id for s in run(scheduler).decode] == ["a", "b"]
    scheduler.release(scheduler.decoding[0])
    assert {s.request_id for s in run(scheduler).decode} == {"b", "c"}


def test_what_continues_goes_before_those_that_wait() -> None:
    scheduler = Scheduler[Sequence](max_streams=1, prefill_tokens_per_step=100)
    for name in "abc":
        scheduler.submit(sequence(name))
    for name in ("next part", "and one that came later"):
        scheduler.submit(sequence(name, continues=True))
    for name in ("next part", "and one that came later", "a"):
        assert [s.request_id for s in run(scheduler).decode] == [name]
        scheduler.release(scheduler.decoding[0])


def test_who_yields_waits_for_who_does_not_and_who_rests_waits_anyway() -> None:
    scheduler = Scheduler[Sequence](max_streams=4, prefill_tokens_per_step=100)
    for name in "abc":
        scheduler.submit(sequence(name))
    run(scheduler)
    for pace, stepped in (
        (Pace(yielding=frozenset("ab")), "c"),
        (Pace(yielding=frozenset("abc")), "abc"),
        (Pace(resting=frozenset("c"), yielding=frozenset("ab")), "ab"),
        (Pace(resting=frozenset("abc")), ""),
        (Pace(), "abc"),
    ):
        scheduler.pace = pace
        assert scheduler.idle == (not stepped) and scheduler.resting == 3 - len(stepped)
        assert "".join(s.request_id for s in run(scheduler).decode) == stepped
    scheduler.pace = Pace(yielding=frozenset("abc"))
    scheduler.submit(sequence("new", 200))
    assert [(p.sequence.request_id, p.count) for p in run(scheduler).prefills] == [("new", 100)]
    assert scheduler.resting == 3, "while it is read, too"


def test_a_next_part_that_may_wait_lets_others_have_its_slot() -> None:
    scheduler = Scheduler[Sequence](max_streams=1, prefill_tokens_per_step=100)
    scheduler.submit(sequence("new"))
    scheduler.submit(sequence("ahead", continues=True))
    scheduler.submit(sequence("far ahead", continues=True))
    scheduler.pace = Pace(resting=frozenset(("far ahead",)), yielding=frozenset(("ahead",)))
    for name in ("new", "ahead"):
        (stepped,) = run(scheduler).decode
        assert stepped.request_id == name
        scheduler.release(stepped)
    assert scheduler.idle, "the codec has enough of it"
    scheduler.pace = Pace()
    assert [s.request_id for s in run(scheduler).decode] == ["far ahead"]


def test_the_last_stream_moves_into_the_hole_and_a_prefill_follows() -> None:
    scheduler = Scheduler[Sequence](max_streams=4, prefill_tokens_per_step=100)
    for name in "abc":
        scheduler.submit(sequence(name))
    run(scheduler)
    scheduler.submit(sequence("long", 500))
    run(scheduler)
    a, _, c = scheduler.decoding
    moves = scheduler.release(a)
    assert [(m.source, m.target) for m in moves] == [(2, 0), (3, 2)]
    assert c.slot == 0 and scheduler.prefilling is not None and scheduler.prefilling.slot == 2
    scheduler.check()


def test_deadlines_reach_waiting_and_running_sequences_alike() -> None:
    scheduler = Scheduler[Sequence](max_streams=1, prefill_tokens_per_step=100)
    scheduler.submit(sequence("running", deadline=5.0))
    run(scheduler)
    scheduler.submit(sequence("waiting", deadline=4.0))
    assert [s.request_id for s in scheduler.expired(4.5)] == ["waiting"]
    assert {s.request_id for s in scheduler.expired(5.0)} == {"running", "waiting"}


def test_slots_stay_dense_over_thousands_of_random_turns() -> None:
    rng = random.Random(0)
    scheduler = Scheduler[Sequence](max_streams=5, prefill_tokens_per_step=8)
    place: dict[int, str] = {}  # slot -> whose contents it holds, as a model runner would see it
    for turn in range(5000):
        if rng.random() < 0.4:
            scheduler.submit(sequence(f"s{turn}", rng.randint(1, 40)))
        for step_prefill in scheduler.schedule().prefills:
            step_prefill.sequence.prefilled += step_prefill.count
            assert step_prefill.sequence.slot is not None
            place[step_prefill.sequence.slot] = step_prefill.sequence.request_id
        scheduler.check()
        everyone = scheduler.sequences()
        if everyone and rng.random() < 0.4:
            for move in scheduler.release(rng.choice(everyone)):
                place[move.target] = place[move.source]
        scheduler.check()
        for live in scheduler.sequences():
            if live.slot is not None and live.prefilled:
                assert place[live.slot] == live.request_id, f"turn {turn}: slot {live.slot} holds somebody else"


def test_a_long_prompt_leaves_listeners_in_need_the_steps_that_make_up_for_its_pieces() -> None:
    scheduler = Scheduler[Sequence](max_streams=2, prefill_tokens_per_step=16)
    scheduler.submit(sequence("running", 5))
    run(scheduler)
    scheduler.submit(sequence("long", 100))
    assert run(scheduler).prefills
    scheduler.breath, scheduler.pace = 3, Pace(hurried=True)
    read = [bool(run(scheduler).prefills) for _ in range(5)]
    assert read == [False, False, False, True, True]
    scheduler.breath, scheduler.pace = 3, Pace()
    assert run(scheduler).prefills, "nobody is in need"
    scheduler.pace = Pace(hurried=True)
    scheduler.release(scheduler.decoding[0])
    assert run(scheduler).prefills, "nobody speaks"


@given(st.floats(0.001, 0.2), st.floats(0.001, 0.2))
def test_after_a_breath_nobody_has_fallen_behind_who_could_keep_up(reading: float, step: float) -> None:
    frame = 0.04
    steps = breath(reading, step, frame)
    assert (steps == 0) == (reading + step <= frame)
    if 0 < steps < breath(1e9, step, frame):
        assert reading + (1 + steps) * step <= (1 + steps) * frame + 1e-9
        assert reading + steps * step > steps * frame - 1e-9, "no longer than it takes"
