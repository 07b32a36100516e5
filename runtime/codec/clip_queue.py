"""Requests whose clips wait for the encoder: one after another, and none for whom nobody waits any more."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtime.formats.errors import timed_out

_LOOK_SECONDS = 0.05
_REMEMBERED, _REMEMBERED_SECONDS = 1024, 60.0  # requests given up before they came

Outcome = list[np.ndarray] | Exception | None


@dataclass(eq=False)
class _Pending:
    """A request; `answered` before its turn when it is late or its client has left."""

    request_id: str
    deadline: float
    encode: Sequence[Callable[[], np.ndarray]]
    answer: Callable[[Outcome], None]
    has_left: Callable[[], bool]
    answered: bool = False


class ClipQueue:
    """The thread that encodes, and the one that keeps deadlines meanwhile: an encoder cannot be interrupted."""

    def __init__(self) -> None:
        self._pending: list[_Pending] = []  # in the order they came
        self._given_up: OrderedDict[str, float] = OrderedDict()  # when each was
        self._changed = threading.Condition()
        self._closing = False
        self._threads = [
            threading.Thread(target=run, name=name, daemon=True)
            for name, run in (("encoder", self._work), ("clips", self._look))
        ]
        for thread in self._threads:
            thread.start()

    def put(
        self,
        request_id: str,
        deadline: float,
        encode: Sequence[Callable[[], np.ndarray]],
        answer: Callable[[Outcome], None],
        has_left: Callable[[], bool],
    ) -> None:
        """Queue a request.

        Args:
            deadline: on the clock of time.monotonic().
            encode: one function a clip, called in order on the encoder's thread.
            answer: called once with what they returned, with what one of them raised, with GenerationTimeoutError at
                the deadline, or with None when the client has left.
            has_left: whether the client has; not called after the answer.
        """
        with self._changed:
            self._pending.append(_Pending(request_id, deadline, encode, answer, has_left))
            self._changed.notify_all()

    def give_up(self, request_id: str) -> None:
        """The request's client has left, whether the request has come or not."""
        with self._changed:
            self._given_up[request_id] = time.monotonic()
            if len(self._given_up) > _REMEMBERED:
                self._given_up.popitem(last=False)

    def close(self) -> None:
        """Answer who waits, and stop."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        for pending in list(self._pending):
            self._answer(pending, None)

    def _work(self) -> None:
        while (pending := self._wait(lambda: self._pending[0] if self._pending else None)) is not None:
            codes: list[np.ndarray] = []
            try:
                for encode in pending.encode:
                    self._look_at(pending)
                    if pending.answered:
                        break
                    codes.append(encode())
                self._answer(pending, codes)
            except Exception as error:
                self._answer(pending, error)

    def _look(self) -> None:
        while self._wait(lambda: self._pending or None) is not None:
            for pending in list(self._pending):
                self._look_at(pending)
            time.sleep(_LOOK_SECONDS)

    def _wait(self, ready: Callable[[], object]) -> Any:
        """What `ready` finds, as soon as it finds something; None when the queue closes."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or ready() is not None)
            return None if self._closing else ready()

    def _look_at(self, pending: _Pending) -> None:
        """Answer a request for which nobody waits any more."""
        with self._changed:
            if pending.answered:
                return
            given_up = self._given_up.pop(pending.request_id, -math.inf)
            if time.monotonic() - given_up < _REMEMBERED_SECONDS or pending.has_left():
                self._answer(pending, None)
            elif time.monotonic() >= pending.deadline:
                self._answer(pending, timed_out("while its reference audio was encoded"))

    def _answer(self, pending: _Pending, outcome: Outcome) -> None:
        with self._changed:
            if pending.answered:
                return
            pending.answered = True
            self._pending.remove(pending)
            pending.answer(outcome)
