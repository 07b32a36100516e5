"""One request that outlives a broken stream: it is asked again, and what the caller already has is skipped.

The same request and seed give the same codes, so the second stream repeats the first. The samples before the seam are
compared with those delivered: on a GPU a near-tie may have gone another way, and the rest would then not fit.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from .connection import Connection
from .errors import (
    GenerationTimeoutError,
    HiggsError,
    MemoryExhaustionError,
    OverloadedError,
    ServerUnavailableError,
    StreamStalledError,
)
from .exchange import REPLAYING, Event, Exchange, Message
from .fleet import Fleet
from .hearing import Hearing
from .protocol import new_request_id
from .speech import AudioChunk

PAUSES = (0.5, 2.0)  # seconds before the request is asked again: a launcher needs 0.25 to see what broke
LOOK_SECONDS = 0.25
SEAM_SECONDS = 2.0  # of audio before the seam that must agree; longer than a pause between parts
ROUNDING = 0.01  # of full scale: less is the same speech, computed in another order
# Asking the same server again at once would only make it worse; asking any, what came too late already.
_NO_ROOM = (OverloadedError, MemoryExhaustionError)
_TOO_LATE = (GenerationTimeoutError, StreamStalledError)


class ResumedExchange:
    """Exchanges for one request, the next where the last one broke; delivers what a single one would.

    The next goes to a server that was not asked yet, if there is one, and then also for a request that had no room;
    else to the same after a pause.

    Between them it delivers REPLAYING, and again while it waits and for each chunk that the caller has already.
    request: as for `Exchange`, or the function that makes it. deadline: of the whole, on the clock of time.monotonic().
    patience: seconds in which the server must be ready again, before any audio and after some. resume: whether to ask
    again at all. growing: whether its text comes in pieces, which `send` takes; they are kept to be sent once more.
    """

    def __init__(
        self,
        fleet: Fleet,
        request_id: str,
        request: Any,
        deadline: float,
        deliver: Callable[[Event], None],
        *,
        patience: tuple[float, float],
        resume: bool,
        metadata: Mapping[str, str] | None = None,
        growing: bool = False,
    ) -> None:
        self.deadline = deadline
        self._fleet, self._request, self._deliver = fleet, request, deliver
        self._patience, self._metadata = patience, metadata
        self._resume = resume
        self._pauses = list(PAUSES)
        self._tried: set[Connection] = set()
        self._position = 0  # samples delivered
        self._part = 0  # of the last of them
        self._tail = np.zeros(0, np.float32)  # the last of them, up to SEAM_SECONDS
        self._hearing = Hearing()
        self._replaying = self._failed = False
        self._cancelled = threading.Event()
        # The first exchange may break before it is assigned.
        self._lock = threading.RLock()
        self._messages: list[Message] | None = [] if growing else None
        with self._lock:
            first = self._made if callable(request) else request
            self._first = self._exchange = self._opened(request_id, first, fleet.route())

    @property
    def request_id(self) -> str:
        """The id of the exchange in progress."""
        return self._exchange.request_id

    @property
    def started_at(self) -> float:
        """When the request was sent first, as of `Exchange`."""
        return self._first.started_at

    def send(self, word: str, text: str | None = None) -> None:
        """As `Exchange.send`."""
        with self._lock:
            if self._messages is not None:
                self._messages.append((word, text))
                self._exchange.send(word, text)

    def wake(self) -> None:
        """Have the caller, who waits for an event, look again how long that may take."""
        self._deliver(REPLAYING)

    def fail(self, error: Exception) -> None:
        """End the speech with an error of the caller's."""
        self._failed = True
        self.cancel()
        self._deliver(error)

    def cancel(self) -> None:
        """As `Exchange.cancel`."""
        self._cancelled.set()
        self._exchange.cancel()

    def wait(self) -> None:
        """Wait until nothing is left on the wire."""
        waited = None
        while waited is not self._exchange:
            waited = self._exchange
            waited.wait()

    def _made(self) -> Any:
        self._request = self._request()
        return self._request

    def _take(self, event: Event) -> None:
        if self._failed:
            return
        if isinstance(event, AudioChunk):
            self._take_chunk(event)
        elif isinstance(event, HiggsError):
            self._take_error(event)
        else:
            self._deliver(event)

    def _take_error(self, error: HiggsError) -> None:
        if isinstance(error, ServerUnavailableError):
            self._fleet.fell_silent(self._server)
        if self._may_resume(error):
            self._ask_again(error)
        else:
            self._deliver(error)

    def _take_chunk(self, chunk: AudioChunk) -> None:
        known = max(0, min(self._position - chunk.start_sample, len(chunk.samples)))
        stop = chunk.start_sample + len(chunk.samples)
        short = stop < self._position and chunk.finish_reason not in (None, "cancelled")
        if short or not self._agrees(chunk, known):
            self._refuse(chunk)
        elif self._replaying and stop <= self._position and chunk.finish_reason is None:
            self._deliver(REPLAYING)
        else:
            # What a part says was told already with the first of its samples.
            said = chunk.said if chunk.start_sample >= self._position else None
            fresh = replace(chunk, samples=chunk.samples[known:], start_sample=self._position, said=said)
            self._position, self._part = self._position + len(fresh.samples), chunk.part
            kept = round(SEAM_SECONDS * chunk.sample_rate)
            self._tail = np.concatenate([self._tail, fresh.samples])[-kept:]
            self._deliver(self._hearing.heard(fresh))

    def _agrees(self, chunk: AudioChunk, known: int) -> bool:
        """Whether the first `known` samples of a replayed chunk are those delivered, as far as these were kept."""
        kept_from = self._position - len(self._tail)
        start, stop = max(chunk.start_sample, kept_from), chunk.start_sample + known
        if start >= stop:
            return True
        told = chunk.samples[start - chunk.start_sample : known]
        differences = np.abs(told - self._tail[start - kept_from : stop - kept_from])
        return bool(differences.max() <= ROUNDING) and (stop < self._position or chunk.part == self._part)

    def _refuse(self, chunk: AudioChunk) -> None:
        seconds = self._position / chunk.sample_rate
        self.fail(
            HiggsError(
                f"The stream broke after {seconds:.2f} s of audio, and asked again the server speaks it differently; "
                "ask for the whole speech once more.",
                code="not_resumed",
                request_id=self.request_id,
            )
        )

    def _may_resume(self, error: HiggsError) -> bool:
        sent = error.request_id is not None
        in_time = time.monotonic() < self.deadline and not self._cancelled.is_set()
        if not (self._resume and sent and error.retryable and in_time):
            return False
        others = self._fleet.has_more(self._tried)
        if isinstance(error, _NO_ROOM):
            return others
        return not isinstance(error, _TOO_LATE) and bool(others or self._pauses)

    def _ask_again(self, error: HiggsError) -> None:
        self._replaying = True
        request_id = new_request_id()
        try:
            with self._lock:
                pause = 0.0 if self._fleet.has_more(self._tried) or not self._pauses else self._pauses.pop(0)
                server = self._fleet.route(self._tried)
                make = partial(self._request_when_ready, request_id, server, pause, error)
                self._exchange = self._opened(request_id, make, server)
        except (HiggsError, RuntimeError):  # the client was closed, or the interpreter starts no more threads
            self._deliver(error)
            return
        self._deliver(REPLAYING)
        if self._cancelled.is_set():
            self._exchange.cancel()

    def _opened(self, request_id: str, request: Any, server: Connection) -> Exchange:
        self._server = server
        self._tried.add(server)
        return server.open(request_id, request, self._take, self._metadata, self._messages)

    def _request_when_ready(self, request_id: str, server: Connection, pause: float, error: HiggsError) -> Any:
        """The request, as soon as the server can take it. Raises what broke the stream when that takes too long."""
        until = min(time.monotonic() + self._patience[self._position > 0], self.deadline)
        self._cancelled.wait(pause)
        while not self._cancelled.is_set() and not server.is_ready():
            if time.monotonic() > until:
                self._pauses.clear()
                raise error
            self._deliver(REPLAYING)
            self._cancelled.wait(LOOK_SECONDS)
        self._request.id = request_id
        return self._request
