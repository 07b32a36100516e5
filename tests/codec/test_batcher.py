"""Dynamic batching of windows: together when they wait together, in order, and nobody fails for another."""

from __future__ import annotations

import threading
import time
import weakref
from typing import Any

import numpy as np
import pytest

from runtime.codec.batcher import WindowBatcher


class Decoder:
    """Stands in for the network: samples are the codes' own values, and the first call waits to let others queue."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, ...]] = []
        self.go, self.began = threading.Event(), threading.Event()
        self.room = 99

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        self.began.set()
        self.go.wait(5)
        if codes.shape[-1] == 13:
            raise RuntimeError("thirteen frames are unlucky")
        if len(codes) > self.room:
            raise RuntimeError("Failed to allocate memory for requested buffer")
        self.batches.append(codes.shape)
        return codes[:, 0, :].astype(np.float32)


def window(ticket: int, frames: int) -> np.ndarray:
    return np.full((8, frames), ticket, dtype=np.int32)


@pytest.mark.parametrize("max_batch", [1, 4, 16])
def test_waiting_windows_are_decoded_together_and_answered_in_order(max_batch: int) -> None:
    decoder, answers = Decoder(), []
    batcher = WindowBatcher[int](decoder, lambda ticket, result: answers.append((ticket, result)), max_batch)
    lengths = [20, 20, 30, 20, 13, 30, 20, 13, 0, 20, 20]
    for ticket, frames in enumerate(lengths):
        batcher.put(str(ticket), ticket, window(ticket, frames))
        assert decoder.began.wait(5)
    decoder.go.set()
    batcher.close()
    assert [ticket for ticket, _ in answers] == list(range(len(lengths)))
    for (ticket, result), frames in zip(answers, lengths, strict=True):
        if frames == 13:
            assert "unlucky" in str(result)
        else:
            np.testing.assert_array_equal(result, np.full(frames, ticket, dtype=np.float32))
    assert max(shape[0] for shape in decoder.batches) <= max_batch
    if max_batch == 16:
        assert len(decoder.batches) <= 4, "one call for the first, then one a length"


def test_what_cannot_be_decoded_together_is_decoded_one_by_one() -> None:
    decoder = Decoder()
    decoder.room = 1
    answers: dict[int, Any] = {}
    batcher = WindowBatcher[int](decoder, answers.__setitem__, 16)
    for ticket in range(9):
        batcher.put(str(ticket), ticket, window(ticket, 20))
        assert decoder.began.wait(5)
    decoder.go.set()
    batcher.close()
    for ticket in range(9):
        np.testing.assert_array_equal(answers[ticket], np.full(20, ticket, dtype=np.float32))


def test_what_a_failed_call_had_taken_is_free_when_its_windows_are_decoded_one_by_one() -> None:
    taken: list[weakref.ref[np.ndarray]] = []
    go = threading.Event()
    answers: dict[int, Any] = {}

    def decode(codes: np.ndarray) -> np.ndarray:
        go.wait(5)
        assert not any(old() is not None for old in taken), "it is held"
        hidden = codes.astype(np.float32)
        taken.append(weakref.ref(hidden))
        if len(codes) > 1:
            raise RuntimeError("CUDA out of memory")
        return hidden[:, 0].copy()

    batcher = WindowBatcher[int](decode, answers.__setitem__, 16)
    for ticket in range(5):
        batcher.put(str(ticket), ticket, window(ticket, 20))
    go.set()
    batcher.close()
    for ticket in range(5):
        np.testing.assert_array_equal(answers[ticket], np.full(20, ticket, dtype=np.float32))


def test_a_stream_with_little_waits_for_one_batch_however_much_others_have_queued() -> None:
    decoder, answers = Decoder(), []
    batcher = WindowBatcher[tuple[str, int]](decoder, lambda ticket, _: answers.append(ticket), 4)
    for number in range(20):
        for stream in ("long", "longer"):
            batcher.put(stream, (stream, number), window(0, 20))
    batcher.put("short", ("short", 0), window(0, 20))
    decoder.go.set()
    batcher.close()
    assert answers.index(("short", 0)) <= 4, "behind the window that was being decoded and one of each stream"
    for stream in ("long", "longer"):
        assert [number for name, number in answers if name == stream] == list(range(20))
    assert all(shape[0] <= 3 for shape in decoder.batches), "one window of a stream at a time"


def test_of_more_streams_than_fit_a_batch_those_served_least_come_first() -> None:
    decoder, answers = Decoder(), []
    batcher = WindowBatcher[tuple[str, int]](decoder, lambda ticket, _: answers.append(ticket), 2)
    for stream in "abcdef":
        for number in range(3):
            batcher.put(stream, (stream, number), window(0, 20))
    decoder.go.set()
    batcher.close()
    rounds = [number for _, number in answers[1:]]  # the first left alone, before the others came
    assert max(abs(number - index // 6) for index, number in enumerate(rounds)) <= 1


def order_of(
    streams: dict[str, list[float]], late: dict[str, list[float]], max_batch: int = 1
) -> list[tuple[str, int]]:
    """In which order windows of these lengths, in seconds, are decoded; `late` ones come while the very first is."""
    decoder, answers = Decoder(), []
    batcher = WindowBatcher[tuple[str, int]](decoder, lambda ticket, _: answers.append(ticket), max_batch)
    for some in (streams, late):
        for stream, lengths in some.items():
            for number, seconds in enumerate(lengths):
                batcher.put(stream, (stream, number), window(0, 20), seconds=seconds)
                assert decoder.began.wait(5)
    decoder.go.set()
    batcher.close()
    return answers


def test_of_streams_that_are_heard_the_one_whose_listener_has_least_left_comes_first() -> None:
    order = order_of({"plenty": [100.0, 1.0], "little": [10.0] * 13}, {})
    assert order[:2] == [("plenty", 0), ("little", 0)], "nobody has heard the second"
    assert order.index(("plenty", 1)) == 1 + 10, "behind as much for the other as its own listener has left"


def test_a_first_window_goes_before_whatever_others_wait_for() -> None:
    order = order_of({"a": [0.0] * 5, "b": [0.0] * 5}, {"new": [2.0] * 5, "newer": [2.0]})
    assert order[0] == ("a", 0)
    assert set(order[1:4]) == {("b", 0), ("new", 0), ("newer", 0)}
    assert order.index(("new", 1)) > order.index(("b", 4)), "the others' listeners have run dry"


def test_a_stream_that_is_late_is_not_overtaken_for_ever() -> None:
    """More comes than is decoded, of ever new streams; the late one waits for their first windows only."""
    decoder, answers = Decoder(), []
    decoder.go.set()

    def answer(ticket: tuple[str, int], _: object) -> None:
        answers.append(ticket)
        if len(answers) < 50:
            for number in range(3):
                batcher.put(f"new {len(answers) // 4}", ("new", number), window(0, 20), seconds=1.0)

    batcher = WindowBatcher[tuple[str, int]](decoder, answer, 1)
    for number in range(5):
        batcher.put("late", ("late", number), window(0, 20), seconds=0.001)
    while len(answers) < 50:
        time.sleep(0.001)
    batcher.close()
    positions = [index for index, ticket in enumerate(answers) if ticket[0] == "late"]
    assert len(positions) == 5
    assert positions[-1] < 25


def test_what_nobody_wants_any_more_is_answered_undecoded_and_at_once() -> None:
    decoder, answers = Decoder(), []
    batcher = WindowBatcher[tuple[str, int]](decoder, lambda ticket, result: answers.append((ticket, result)), 1)
    batcher.put("first", ("first", 0), window(0, 20))
    while batcher.waiting:  # it is being decoded while the others come
        time.sleep(0.001)
    for number in range(5):
        batcher.put("late", ("late", number), window(0, 20), deadline=time.monotonic() + 0.2)
        batcher.put("given up", ("given up", number), window(0, 20))
        batcher.put("other", ("other", number), window(0, 20))
    batcher.put("given up", ("given up", 5), None)
    assert batcher.waiting >= 16
    time.sleep(0.3)
    decoder.go.set()
    batcher.close()
    for stream, count in (("late", 5), ("given up", 6), ("other", 5)):
        assert [number for (name, number), _ in answers if name == stream] == list(range(count))
    undecoded = [ticket for ticket, result in answers if result is None]
    assert {name for name, _ in undecoded} == {"late", "given up"} and len(undecoded) == 11
    assert [ticket for ticket, _ in answers[1:12]] == undecoded, "nobody waits for them"
    assert len(decoder.batches) == 6
