"""The in-flight batching engine over a model runner. Each step: schedule, run, deliver."""

from __future__ import annotations

import logging
import threading
import time

import numpy as np
import torch

from runtime.engine.admission import admit, code_stream, timed_out
from runtime.engine.contract import Event, Listener, ModelRunner, tell
from runtime.engine.devices import is_lost
from runtime.engine.inflight.pieces import pieces
from runtime.engine.inflight.prompt_reader import PromptReader, Stream
from runtime.engine.inflight.scheduler import Scheduler, Step, breath
from runtime.engine.inflight.step_size import StepSize
from runtime.engine.sampler import Sampler
from runtime.engine.sampler_state import SamplerState
from runtime.engine.statistics import Statistics
from runtime.engine.types import MAX_RAS_WINDOW, EngineStats, FinishReason, Limits, Pace, Request
from runtime.formats.errors import RequestError, classify

_LOOK_SECONDS = 0.1

logger = logging.getLogger(__name__)


class Engine:
    """A `SpeechEngine` that runs on its own thread while there is work; that thread calls the runner and listeners.

    One lock guards streams, scheduler and statistics. It is held while a step is scheduled and while a stream leaves,
    never while the model runs.

    A step that lacks memory is made again for half of its streams at a time, and so are those after it, for a while: no
    stream is lost to it.
    """

    def __init__(self, runner: ModelRunner, limits: Limits) -> None:
        self._runner, self._limits = runner, limits
        device = str(runner.device)
        self._sampler = Sampler(runner.layout, device)
        self._state = SamplerState(limits.max_streams, runner.layout, MAX_RAS_WINDOW, device)
        self._reader = PromptReader(runner, limits.prefix_cache_bytes)
        self._scheduler = self._new_scheduler()
        self._streams: dict[str, Stream] = {}
        self._lock = threading.Condition()
        self._closing = False
        self._caches_wanted_back = False
        self._broken: RequestError | None = None
        self._step_size = StepSize(limits.max_streams)
        self._statistics = Statistics()
        self._thread = threading.Thread(target=self._loop, name="engine", daemon=True)
        self._thread.start()

    @property
    def broken(self) -> RequestError | None:
        """As `SpeechEngine.broken`."""
        return self._broken

    def submit(self, request: Request, on_event: Listener) -> None:
        """As `SpeechEngine.submit`."""
        with self._lock:
            scheduler = self._scheduler
            try:
                queue = scheduler.live, len(scheduler.waiting)
                pace = self._statistics.seconds_per_stream
                admit(request, self._streams, *queue, self._limits, pace, self._closing)
                stream = self._new_stream(request, on_event)
            except RequestError:
                self._statistics.refused += 1
                raise
            scheduler.submit(stream)
            self._streams[request.request_id] = stream
            self._lock.notify()

    def cancel(self, request_id: str) -> bool:
        """As `SpeechEngine.cancel`."""
        with self._lock:
            stream = self._streams.get(request_id)
            if stream is not None:
                stream.cancelled = True
                self._lock.notify()
            return stream is not None

    def pace(self, pace: Pace) -> None:
        """As `SpeechEngine.pace`."""
        with self._lock:
            if pace != self._scheduler.pace:
                self._scheduler.pace = pace
                self._lock.notify()

    def free_caches(self) -> None:
        """As `SpeechEngine.free_caches`."""
        with self._lock:
            self._caches_wanted_back = True
            self._lock.notify()

    def stream_bytes(self, positions: int) -> int:
        """Like `SpeechEngine.stream_bytes`: keys and values are reserved at the start and take memory as they fill."""
        return positions * self._runner.position_bytes if self._runner.device.type == "cpu" else 0

    def stats(self) -> EngineStats:
        """As `SpeechEngine.stats`."""
        with self._lock:
            scheduler = self._scheduler
            waiting, kept = len(scheduler.waiting), self._reader.kept_bytes
            return self._statistics.snapshot(scheduler.live, waiting, scheduler.resting, kept)

    def close(self) -> None:
        """As `SpeechEngine.close`."""
        with self._lock:
            self._closing = True
            self._lock.notify()
        self._thread.join()

    def _new_scheduler(self) -> Scheduler[Stream]:
        limits = self._limits
        return Scheduler(limits.max_streams, limits.prefill_tokens_per_step, self._begin)

    def _begin(self, stream: Stream) -> int:
        """A stream gets its slot; returns how many positions of its prompt need not be read. Called with the lock."""
        self._statistics.begin(stream.request, stream.deadline)
        return self._reader.known(stream)

    def _new_stream(self, request: Request, on_event: Listener) -> Stream:
        # No piece is longer than a step's reading budget, so that a step always has room for one.
        cut = pieces(request.prompt.segments, self._limits.prefill_tokens_per_step)
        return Stream(
            request_id=request.request_id,
            pauses=tuple(piece.stop for piece in cut),
            deadline=time.monotonic() + request.timeout,
            continues=request.continues,
            request=request,
            codes=code_stream(request, self._runner.layout, self._limits),
            on_event=on_event,
            pieces=cut,
        )

    def _loop(self) -> None:
        while True:
            try:
                if not self._wait_for_work():
                    break
                step = self._schedule()
                streams = self._run(step)
                self._deliver(streams)
            except Exception as error:  # a bug of ours: nobody may wait forever because of it
                logger.exception("a step of the engine failed")
                self._start_over(error)
            with self._lock:
                self._statistics.steps += 1
        with self._lock:
            self._remove_leavers()

    def _wait_for_work(self) -> bool:
        """Wait until there is a step to make; False when the engine closes."""
        with self._lock:
            self._remove_leavers()
            while self._scheduler.idle and not self._closing:
                self._give_back()
                self._statistics.busy(False)
                # Those who rest have deadlines too.
                self._lock.wait(_LOOK_SECONDS if self._streams else None)
                self._remove_leavers()
            self._give_back()
            self._statistics.busy(True)
            return not self._closing

    def _give_back(self) -> None:
        """Free caches if that was asked for. Call with the lock."""
        if self._caches_wanted_back:
            self._caches_wanted_back = False
            self._reader.forget()
            self._runner.release(self._scheduler.live)
            if self._runner.device.type == "cuda":
                torch.cuda.empty_cache()

    def _schedule(self) -> Step[Stream]:
        with self._lock:
            return self._scheduler.schedule()

    def _run(self, step: Step[Stream]) -> list[Stream]:
        """Run a step's prefills and its decode; returns the streams that got a column, in the order of their slots.

        A failure ends the streams it touched and no others.
        """
        failed: set[Stream] = set()
        began = time.monotonic()
        for prefill in step.prefills:
            try:
                self._read(prefill.sequence, prefill.count)
            except Exception as error:
                failed.add(prefill.sequence)
                self._fail([prefill.sequence], error)
        streams = [stream for stream in step.decode if stream not in failed]
        streams.sort(key=lambda stream: stream.slot or 0)  # a failed prefill may have moved others
        read = time.monotonic()
        if not streams:
            return []
        try:
            columns = self._decode(streams)
        except Exception as error:
            self._fail(streams, error)
            return []
        # Append all columns before any event: a stream that ends moves others, whose new column must already count.
        frames = sum(stream.codes.append(column) for stream, column in zip(streams, columns, strict=True))
        with self._lock:
            self._statistics.frames += frames
            if step.prefills:
                decoding = time.monotonic() - read
                self._scheduler.breath = breath(read - began, decoding, self._limits.frame_seconds)
        return streams

    def _read(self, stream: Stream, count: int) -> None:
        self._statistics.prefix_positions_reused += self._reader.read(stream, count)
        if stream.is_prefilled:
            assert stream.slot is not None
            tail = stream.request.prompt.tail
            self._state.begin(stream.slot, stream.request.sampling, None if tail is None else torch.from_numpy(tail))

    @torch.inference_mode()
    def _decode(self, streams: list[Stream]) -> np.ndarray:
        """The next column of each stream, int64 [streams, num_codebooks]; other live streams rest where they are."""
        slots = [stream.slot for stream in streams if stream.slot is not None]
        logits = self._step_size.run(self._logits, slots)
        if slots == list(range(len(slots))):
            return self._sampler.step(self._state, logits).cpu().numpy()
        index = torch.tensor(slots, device=self._state.last.device)
        state = self._state.take(slots, index)
        columns = self._sampler.step(state, logits)
        self._state.put(index, state)
        return columns.cpu().numpy()

    def _logits(self, slots: list[int]) -> torch.Tensor:
        """What the model says next in these slots, ascending."""
        first, last = slots[0], slots[-1] + 1
        positions = [stream.positions for stream in self._scheduler.decoding[:last]]
        logits = self._runner.decode(self._state.last[:last], positions, slice(first, last))
        return logits if len(slots) == logits.shape[0] else logits[[slot - first for slot in slots]]

    def _deliver(self, streams: list[Stream]) -> None:
        for stream in streams:
            for window in stream.codes.windows():
                if window.finish_reason is None:
                    tell(stream.request_id, stream.on_event, window)
                else:
                    with self._lock:
                        self._statistics.finish(window.finish_reason)
                        self._end(stream, window)

    def _remove_leavers(self) -> None:
        """End streams that timed out or were cancelled, and all of them when the engine closes. Call with the lock."""
        for stream in self._scheduler.expired(time.monotonic()):
            self._fail([stream], timed_out(waited=stream.slot is None))
        for stream in list(self._streams.values()):
            if stream.cancelled or self._closing:
                self._statistics.cancelled += 1
                self._end(stream, stream.codes.last_window(FinishReason.CANCELLED))

    def _fail(self, streams: list[Stream], error: Exception) -> None:
        failure = classify(error)
        self._look_at_the_device(failure)
        with self._lock:
            for stream in streams:
                self._statistics.fail(failure)
                self._end(stream, failure)

    def _look_at_the_device(self, failure: RequestError) -> None:
        if is_lost(self._runner.device, failure):
            self._broken = failure

    def _end(self, stream: Stream, event: Event) -> None:
        """Free a stream's slot, then tell its listener. Call with the lock."""
        del self._streams[stream.request_id]
        try:
            for move in self._scheduler.release(stream):
                self._runner.move(move.source, move.target, move.sequence.positions)
                self._state.move(move.source, move.target)
        finally:  # a lost device moves nothing
            tell(stream.request_id, stream.on_event, event)

    def _start_over(self, error: Exception) -> None:
        """Fail every stream and start again with an empty scheduler."""
        self._look_at_the_device(classify(error))
        with self._lock:
            streams, self._streams = list(self._streams.values()), {}
            self._scheduler = self._new_scheduler()
            self._reader.forget()
            for stream in streams:
                failure = classify(error)
                self._statistics.fail(failure)
                tell(stream.request_id, stream.on_event, failure)
