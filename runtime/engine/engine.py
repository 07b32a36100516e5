"""The in-flight batching engine over a model runner: submit a request, receive windows of codec frames, cancel."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch

from runtime.engine.contract import Event, code_stream, iterate, tell
from runtime.engine.pieces import Piece, pieces
from runtime.engine.prefix_cache import PrefixCache
from runtime.engine.sampler import Sampler, SamplerState
from runtime.engine.scheduler import Move, Scheduler, Sequence, Step
from runtime.engine.stream import CodeStream
from runtime.engine.tally import Tally
from runtime.engine.types import (
    MAX_RAS_WINDOW,
    CodebookLayout,
    EngineStats,
    FinishReason,
    FrameWindow,
    Limits,
    Request,
    Segment,
)
from runtime.formats.errors import InvalidRequestError, ModelLoadingError, RequestError, classify

logger = logging.getLogger(__name__)


class ModelRunner(Protocol):
    """What the engine needs of a model; `onnx_runner.OnnxRunner` explains each call."""

    @property
    def layout(self) -> CodebookLayout: ...
    @property
    def device(self) -> torch.device: ...
    def prefill(self, slot: int, position: int, segment: Segment) -> int: ...
    def decode(self, columns: torch.Tensor, positions: list[int]) -> torch.Tensor: ...
    def move(self, source: int, target: int, positions: int) -> None: ...
    @property
    def position_bytes(self) -> int: ...
    def read(self, slot: int, start: int, stop: int) -> torch.Tensor: ...
    def write(self, slot: int, start: int, values: torch.Tensor) -> None: ...


@dataclass(eq=False)
class _Stream(Sequence):
    """A sequence with what the model side needs of it."""

    request: Request = field(kw_only=True)
    codes: CodeStream = field(kw_only=True)
    on_event: Callable[[Event], None] = field(kw_only=True)
    pieces: tuple[Piece, ...] = field(kw_only=True)
    begun: bool = False  # its slot holds what `prefilled` says

    @property
    def positions(self) -> int:
        """Cache positions in use; the newest column is not in the cache yet."""
        return self.prefilled + len(self.codes.columns) - 1


class Engine:
    """Runs one step after another on its own thread while there is work.

    Each step reads as: schedule, run, deliver. Events of a request arrive, in order, through its callback on the
    engine's thread: windows, the last of which has a finish reason, or one error as the last event.
    """

    def __init__(self, runner: ModelRunner, limits: Limits) -> None:
        self._runner, self._limits = runner, limits
        device = str(runner.device)
        self._sampler = Sampler(runner.layout, device)
        self._state = SamplerState(limits.max_streams, runner.layout, MAX_RAS_WINDOW, device)
        self._prefixes = PrefixCache(limits.prefix_cache_bytes, runner.position_bytes)
        self._scheduler = self._new_scheduler()
        self._streams: dict[str, _Stream] = {}
        self._wake = threading.Condition()
        self._closing = False
        self._tally = Tally()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(self, request: Request, on_event: Callable[[Event], None]) -> None:
        """Queue a request.

        Raises:
            InvalidRequestError: its id is taken, or its prompt leaves no room to speak.
            OverloadedError: the queue is full.
        """
        with self._wake:
            try:
                stream = self._admit(request, on_event)
            except RequestError:
                self._tally.refused += 1
                raise
            self._streams[request.request_id] = stream
            self._wake.notify()

    def stream(self, request: Request) -> Iterator[FrameWindow]:
        """Submit and iterate over the windows; leaving the loop early cancels. Raises the request's error."""
        return iterate(self, request)

    def cancel(self, request_id: str) -> bool:
        """End a request before the next step; its last event says `cancelled`. False when it is not here."""
        with self._wake:
            stream = self._streams.get(request_id)
            if stream is not None:
                stream.cancelled = True
                self._wake.notify()
            return stream is not None

    def stats(self) -> EngineStats:
        """A snapshot of now and of the totals since the start."""
        with self._wake:
            return self._tally.stats(self._scheduler.live, len(self._scheduler.waiting), self._prefixes.nbytes)

    def close(self) -> None:
        """Cancel everything and stop the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _new_scheduler(self) -> Scheduler:
        def known(sequence: Sequence) -> int:
            return self._prefixes.known(self._streams[sequence.request_id].pieces)

        limits = self._limits
        return Scheduler(limits.max_streams, limits.max_waiting, limits.prefill_tokens_per_step, known)

    def _admit(self, request: Request, on_event: Callable[[Event], None]) -> _Stream:
        if self._closing:
            raise ModelLoadingError("the engine is stopping")
        if request.request_id in self._streams:
            raise InvalidRequestError(f"a request with the id {request.request_id!r} is already being served")
        codes = code_stream(request, self._runner.layout, self._limits)
        deadline = time.monotonic() + request.timeout
        # As long as a step may be made by reading, so that a step always has room for one.
        cut = pieces(request.prompt.segments, self._limits.prefill_tokens_per_step)
        stream = _Stream(
            request.request_id,
            tuple(piece.stop for piece in cut),
            deadline,
            request=request,
            codes=codes,
            on_event=on_event,
            pieces=cut,
        )
        self._scheduler.submit(stream, request.continues)
        return stream

    def _run(self) -> None:
        while True:
            with self._wake:
                while self._scheduler.idle and not self._closing:
                    self._tally.busy(False)
                    self._wake.wait()
                self._tally.busy(True)
            try:
                self._turn()
            except Exception as error:  # an error of ours: nobody may wait for ever because of it
                logger.exception("the engine's turn failed")
                self._collapse(error)
            with self._wake:
                if self._closing:
                    self._remove_leavers()
                    return
                self._tally.steps += 1

    def _turn(self) -> None:
        with self._wake:
            self._remove_leavers()
            step = self._scheduler.schedule()
        self._execute(step)

    def _collapse(self, error: Exception) -> None:
        """Fail every stream and begin with an empty scheduler."""
        with self._wake:
            streams, self._streams = list(self._streams.values()), {}
            self._scheduler = self._new_scheduler()
            self._prefixes.clear()
            for stream in streams:
                failure = classify(error)
                self._tally.fail(failure)
                tell(stream.request_id, stream.on_event, failure)

    def _remove_leavers(self) -> None:
        for sequence, error in self._scheduler.expired(time.monotonic()):
            self._fail(self._streams[sequence.request_id], error)
        for stream in list(self._streams.values()):
            if stream.cancelled or self._closing:
                self._tally.cancelled += 1
                self._finish(stream, stream.codes.last_window(FinishReason.CANCELLED))

    def _execute(self, step: Step) -> None:
        """Run a step's prefills and its decode; a failure ends the streams it touched and no others."""
        failed: set[str] = set()
        for prefill in step.prefills:
            stream = self._streams[prefill.sequence.request_id]
            try:
                self._prefill(stream, prefill.count)
            except Exception as error:
                failed.add(stream.request_id)
                with self._wake:
                    self._fail(stream, classify(error))
        decode = [self._streams[s.request_id] for s in step.decode if s.request_id not in failed]
        decode.sort(key=lambda stream: stream.slot or 0)  # a failed prefill may have moved others
        if not decode:
            return
        try:
            columns = self._decode(decode)
        except Exception as error:
            with self._wake:
                for stream in decode:
                    self._fail(stream, classify(error))
            return
        self._deliver(decode, columns)

    def _prefill(self, stream: _Stream, count: int) -> None:
        assert stream.slot is not None
        stop = stream.prefilled + count
        if not stream.begun:
            self._begin(stream)
        for piece in stream.pieces:
            if stream.prefilled <= piece.start < stop:
                self._runner.prefill(stream.slot, piece.start, piece.segment)
                stream.prefilled = piece.stop
        self._keep(stream)
        if stream.is_prefilled:
            tail = stream.request.prompt.tail
            self._state.begin(stream.slot, stream.request.sampling, None if tail is None else torch.from_numpy(tail))

    def _begin(self, stream: _Stream) -> None:
        """Put into a stream's slot what is kept of its prompt by now: perhaps not what it was scheduled with."""
        assert stream.slot is not None
        stream.prefilled = 0
        for values in self._prefixes.lookup(stream.pieces):
            self._runner.write(stream.slot, stream.prefilled, values)
            stream.prefilled += values.shape[2]
        self._tally.prefix_positions_reused += stream.prefilled
        stream.begun = True

    def _keep(self, stream: _Stream) -> None:
        """Keep what a stream has read for prompts that begin alike; what cannot be kept will be read again.

        Never what it speaks: a decode step rounds otherwise than a call that reads the same columns, and what a stream
        says must not depend on which of the two its prompt's keys and values come from.
        """
        slot = stream.slot
        assert slot is not None
        read = [piece for piece in stream.pieces if piece.stop <= stream.prefilled]
        try:
            self._prefixes.store(read, lambda start, stop: self._runner.read(slot, start, stop))
        except Exception:
            logger.exception("the keys and values of request %s could not be kept", stream.request_id)

    @torch.inference_mode()
    def _decode(self, streams: list[_Stream]) -> np.ndarray:
        n = len(streams)
        logits = self._runner.decode(self._state.last[:n], [stream.positions for stream in streams])
        return self._sampler.step(self._state, logits).cpu().numpy()

    def _deliver(self, streams: list[_Stream], columns: np.ndarray) -> None:
        # All columns first: a stream that ends moves others, and what is moved must count this step's position.
        for stream, column in zip(streams, columns, strict=True):
            self._tally.frames += stream.codes.append(column)
        for stream in streams:
            for window in stream.codes.windows():
                if window.finish_reason is None:
                    tell(stream.request_id, stream.on_event, window)
                else:
                    with self._wake:
                        self._tally.finish(window.finish_reason)
                        self._finish(stream, window)

    def _fail(self, stream: _Stream, error: RequestError) -> None:
        self._tally.fail(error)
        self._finish(stream, error)

    def _finish(self, stream: _Stream, event: Event) -> None:
        """Free the stream's slot, then tell its owner."""
        del self._streams[stream.request_id]
        for move in self._scheduler.release(stream):
            self._apply(move)
        tell(stream.request_id, stream.on_event, event)

    def _apply(self, move: Move) -> None:
        moved = self._streams[move.sequence.request_id]
        self._runner.move(move.source, move.target, moved.positions)
        self._state.move(move.source, move.target)
