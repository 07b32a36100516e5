"""Clips waiting for the encoder: in order, and none is encoded for a request that is late or whose client has left."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from runtime.codec.clip_queue import ClipQueue, Outcome
from runtime.formats.errors import GenerationTimeoutError


class Encoder:
    """Encodes when told to, and remembers for whom."""

    def __init__(self) -> None:
        self.queue, self.go, self.begun = ClipQueue(), threading.Event(), threading.Event()
        self.encoded: list[str] = []
        self.outcomes: dict[str, Outcome] = {}
        self.left: set[str] = set()

    def ask(self, name: str, clips: int = 1, seconds: float = 60.0) -> None:
        self.queue.put(
            name,
            time.monotonic() + seconds,
            [lambda: self._encode(name)] * clips,
            lambda outcome: self.outcomes.update({name: outcome}),
            lambda: name in self.left,
        )

    def answered(self, *names: str) -> None:
        until = time.monotonic() + 5
        while not self.outcomes.keys() >= set(names):
            assert time.monotonic() < until, f"{names} are not all answered: {self.outcomes}"
            time.sleep(0.01)

    def _encode(self, name: str) -> np.ndarray:
        self.begun.set()
        assert self.go.wait(5)
        self.encoded.append(name)
        if name == "broken":
            raise ValueError("not a sound")
        return np.zeros((8, 3), np.int32)


@pytest.fixture
def encoder() -> Iterator[Encoder]:
    made = Encoder()
    yield made
    made.go.set()
    made.queue.close()


def test_clips_are_encoded_in_the_order_they_came(encoder: Encoder) -> None:
    encoder.go.set()
    for name in ("a", "broken", "b"):
        encoder.ask(name, clips=2)
    encoder.answered("a", "broken", "b")
    assert encoder.encoded == ["a", "a", "broken", "b", "b"]
    assert len(encoder.outcomes["a"]) == 2
    assert "not a sound" in str(encoder.outcomes["broken"])


def test_whoever_is_late_or_has_left_is_answered_while_another_is_encoded(encoder: Encoder) -> None:
    encoder.queue.give_up("cancelled early")
    encoder.ask("long", clips=2, seconds=0.3)
    assert encoder.begun.wait(5)
    for name in ("late", "vanished", "cancelled", "cancelled early", "patient"):
        encoder.ask(name, seconds=0.2 if name == "late" else 60.0)
    encoder.left.add("vanished")
    encoder.queue.give_up("cancelled")
    encoder.answered("long", "late", "vanished", "cancelled", "cancelled early")
    assert isinstance(encoder.outcomes["late"], GenerationTimeoutError)
    assert isinstance(encoder.outcomes["long"], GenerationTimeoutError), "while its own clip is encoded, too"
    assert all(encoder.outcomes[name] is None for name in ("vanished", "cancelled", "cancelled early"))
    encoder.go.set()
    encoder.answered("patient")
    assert encoder.encoded == ["long", "patient"]
    del encoder.outcomes["cancelled early"]
    encoder.ask("cancelled early")
    encoder.answered("cancelled early")
    assert encoder.encoded[-1] == "cancelled early", "its id is used anew"
