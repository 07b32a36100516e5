"""The engine over TensorRT-LLM's executor: NVIDIA's in-flight batching and KV cache, our codes.

The executor schedules, runs the network and feeds back row ids; `StepCallback` turns them into speech. Four threads
meet here: the caller's, the executor's (which calls the callback), one that collects codes and tells listeners, and one
that receives the executor's final responses. All events of a stream reach its listener from the collecting thread, in
order. The roster's lock guards which stream is where; no listener is called while it is held.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from runtime.engine.contract import Event, Listener, tell
from runtime.engine.roster import Roster, RosterEngine
from runtime.engine.statistics import Statistics
from runtime.engine.trtllm.code_transfer import Transfer
from runtime.engine.trtllm.device import Device
from runtime.engine.trtllm.executor_config import (
    BuiltEngine,
    ExecutorOptions,
    executor_config,
    executor_request,
    load_bindings,
)
from runtime.engine.trtllm.stream import TrtllmStream, warm_up_requests
from runtime.engine.types import FinishReason, FrameWindow, Limits, ModelDescription, Pace, Request
from runtime.formats.errors import EngineError, ModelLoadingError, RequestError, classify

ENGINE = "engine"
_PATIENCE = timedelta(milliseconds=50)  # how exactly deadlines are kept while the executor has nothing to say
_CLOSING_SECONDS = 10.0

logger = logging.getLogger(__name__)


class TrtllmEngine(RosterEngine[TrtllmStream]):
    """A `SpeechEngine` that runs its streams through one executor on one GPU.

    Args:
        directory: `lm.json`, `audio_embedding.safetensors`, and in `engine/` what trtllm-build wrote.
        bindings: `tensorrt_llm.bindings.executor`, or what stands in for it; None imports it.

    Raises:
        ModelLoadingError: TensorRT-LLM or a file is missing, or the engine does not fit the model or the limits.
    """

    def __init__(
        self, directory: Path, limits: Limits, options: ExecutorOptions | None = None, bindings: Any = None
    ) -> None:
        options = options or ExecutorOptions()
        self.description = ModelDescription.read(directory / ModelDescription.FILE)
        self._layout, self._limits = self.description.layout, limits
        self._built = BuiltEngine.read(directory / ENGINE, self._layout, limits)
        self._bindings = load_bindings() if bindings is None else bindings
        self._device = Device(directory, self._layout, limits, self._built, options)
        self._roster = Roster[TrtllmStream](limits)
        self._keys = itertools.count(1)
        self._events: SimpleQueue[Callable[[], None] | None] = SimpleQueue()  # for the collecting thread
        self._callback = self._device.callback(
            self._roster.in_executor,
            on_codes=lambda streams, transfer: self._events.put(partial(self._collect, streams, transfer)),
            on_error=lambda streams, error: self._events.put(partial(self._fail_all, streams, error)),
        )
        configuration = executor_config(self._bindings, self._built, limits, options, self._callback)
        try:
            self._executor = self._bindings.Executor(
                model_path=str(directory / ENGINE),
                model_type=self._bindings.ModelType.DECODER_ONLY,
                executor_config=configuration,
            )
        except Exception as error:
            raise ModelLoadingError(f"the TensorRT-LLM engine in {directory} cannot be started: {error}") from error
        self._collector = threading.Thread(target=self._run_collector, name="codes", daemon=True)
        self._receiver = threading.Thread(target=self._run_receiver, name="responses", daemon=True)
        self._collector.start()
        self._receiver.start()

    def submit(self, request: Request, on_event: Listener) -> None:
        """Like `SpeechEngine.submit`; also refuses clips that take more rows than the engine was built for."""
        try:
            stream = TrtllmStream.of(request, on_event, next(self._keys), self._layout, self._limits, self._built)
            with self._roster.lock:
                self._roster.admit(stream)
                self._feed()
        except RequestError:
            with self._roster.lock:
                self._roster.statistics.refused += 1
            raise

    def cancel(self, request_id: str) -> bool:
        """As `SpeechEngine.cancel`."""
        with self._roster.lock:
            stream = self._roster.named.get(request_id)
        if stream is not None:
            self._events.put(partial(self._cancel, stream))
        return stream is not None

    def pace(self, pace: Pace) -> None:
        """Like `SpeechEngine.pace`; the executor cannot hold a stream, so those in it go on to their part's end."""
        with self._roster.lock:
            self._roster.pace = pace
            self._feed()

    def warm_up(self) -> None:
        """Run one short stream per place and let them end one after another; the statistics do not count them.

        So the executor meets every number of streams once, and records its network's CUDA graph for it.
        """
        events: SimpleQueue[Event] = SimpleQueue()
        for request in warm_up_requests(self._limits.max_streams, self._built.tokens_per_block):
            self.submit(request, events.put)
        for _ in range(self._limits.max_streams):
            event = events.get()
            if isinstance(event, RequestError):
                raise ModelLoadingError(f"the engine's first streams failed: {event}")
        with self._roster.lock:
            while self._roster.in_executor:
                self._roster.lock.wait(_CLOSING_SECONDS)
            self._roster.statistics = Statistics()

    def close(self) -> None:
        """Like `SpeechEngine.close`; also shuts down the executor."""
        with self._roster.lock:
            self._roster.closing = True
            for stream in self._roster.named.values():
                self._events.put(partial(self._cancel, stream))
            self._roster.lock.notify_all()
        self._receiver.join(_CLOSING_SECONDS)
        self._events.put(None)
        self._collector.join(_CLOSING_SECONDS)
        self._executor.shutdown()

    def _feed(self) -> None:
        """Hand waiting streams to the executor while places are free. Call with the lock."""
        while stream := self._roster.next():  # registered before the executor has it: it may call back at once
            try:
                table, last_column = self._device.place(stream), stream.codes.columns_needed - 1
                order = executor_request(self._bindings, stream.tokens, table, last_column, self._layout, stream.key)
                stream.executor_id = self._executor.enqueue_request(order)
            except Exception as error:
                self._roster.vacate(stream)
                self._events.put(partial(self._fail, stream, error))

    # The collecting thread: codes, endings, listeners.

    def _run_collector(self) -> None:
        while (event := self._events.get()) is not None:
            try:
                event()
            except Exception:  # nobody else's stream may hang because of it
                logger.exception("an engine event failed")

    def _collect(self, streams: list[TrtllmStream], transfer: Transfer) -> None:
        """A step's codes: windows to their listeners, and an end to the streams that are complete."""
        try:
            columns = transfer.wait()
        except Exception as error:
            self._fail_all(streams, error)
            return
        going, frames = [], 0
        for stream, column in zip(streams, columns, strict=True):
            if stream.over:  # it ended while the step was running
                continue
            try:
                frames += stream.codes.append(column)
                going.append(stream)
            except Exception as error:
                self._fail(stream, error)
        with self._roster.lock:  # before anybody hears of it
            self._roster.statistics.steps += 1
            self._roster.statistics.frames += frames
        for stream in going:
            try:
                for window in stream.codes.windows():
                    self._tell(stream, window)
            except Exception as error:
                self._fail(stream, error)

    def _tell(self, stream: TrtllmStream, window: FrameWindow) -> None:
        if window.finish_reason is not None:
            self._end(stream, window.finish_reason)
        tell(stream.request.request_id, stream.on_event, window)

    def _cancel(self, stream: TrtllmStream) -> None:
        if self._end(stream, FinishReason.CANCELLED):
            tell(stream.request.request_id, stream.on_event, stream.codes.last_window(FinishReason.CANCELLED))

    def _fail_all(self, streams: list[TrtllmStream], error: Exception) -> None:
        for stream in streams:
            self._fail(stream, error)

    def _fail(self, stream: TrtllmStream, error: Exception) -> None:
        failure = classify(error)
        if not self._roster.broken and self._device.is_lost(failure):
            self._break(error)
        if self._end(stream, failure):
            tell(stream.request.request_id, stream.on_event, failure)

    def _end(self, stream: TrtllmStream, how: FinishReason | RequestError) -> bool:
        """Take a stream off the roster; False when it was off already.

        A stream that did not finish is also cancelled in the executor, where it may be waiting or reading its prompt,
        and get no callback for a while.
        """
        with self._roster.lock:
            if not self._roster.end(stream, how):
                return False
            unfinished = isinstance(how, RequestError) or how is FinishReason.CANCELLED
            if unfinished and stream.key in self._roster.in_executor and stream.executor_id is not None:
                self._executor.cancel_request(stream.executor_id)
            return True

    # The receiving thread: the executor's final responses, and deadlines.

    def _run_receiver(self) -> None:
        roster = self._roster
        while True:
            with roster.lock:
                while not roster.in_executor and not roster.closing:
                    roster.lock.wait()
                if roster.closing and not roster.in_executor:
                    return
            try:
                responses = self._executor.await_responses(timeout=_PATIENCE)
            except Exception as error:
                logger.exception("the executor no longer answers")
                self._break(error)
                return
            for response in responses:
                self._receive(response)
            with roster.lock:
                for stream, late in roster.late(time.monotonic()):
                    self._events.put(partial(self._fail, stream, late))

    def _receive(self, response: Any) -> None:
        """Free the place of a finished request, and end its stream if nothing else did."""
        stream = self._roster.in_executor.get(response.client_id)
        if stream is None or not (response.has_error() or response.result.is_final):
            return
        if response.has_error():
            error = classify(RuntimeError(response.error_msg))
        else:
            # Queued after the last codes: a complete stream is over by then.
            reasons = ", ".join(str(reason) for reason in response.result.finish_reasons)
            error = EngineError(f"the executor ended the stream before its speech was complete ({reasons})")
        self._events.put(partial(self._fail, stream, error))
        with self._roster.lock:
            self._roster.statistics.prefix_positions_reused += self._reused_positions(response)
            self._roster.vacate(stream)
            self._feed()

    def _reused_positions(self, response: Any) -> int:
        """Prompt positions, in whole blocks, for which a finished request reused an earlier one's keys and values."""
        metrics = None if response.has_error() else response.result.request_perf_metrics
        return metrics.kv_cache_metrics.num_reused_blocks * self._built.tokens_per_block if metrics else 0

    def _break(self, error: Exception) -> None:
        """The executor is lost: fail every stream, and every later request."""
        with self._roster.lock:
            self._roster.broken = classify(error)
            for stream in self._roster.named.values():
                self._events.put(partial(self._fail, stream, error))
