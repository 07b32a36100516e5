"""The engine over TensorRT-LLM's executor: NVIDIA's in-flight batching and KV cache, our codes.

The same contract as `engine.Engine`. The executor schedules, runs the network and feeds back row ids; `StepCallback`
does what makes them speech. Four threads meet here: the caller's, the executor's (which calls the callback), one that
collects codes and tells listeners, and one that receives the executor's final responses. Everything a listener hears
of its stream it hears from the collecting thread, in order.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch

from runtime.engine.code_transfer import CodeTransfer, Transfer
from runtime.engine.column_step import ColumnStep, cuda_graph_recorder
from runtime.engine.contract import Event, iterate, tell
from runtime.engine.executor_config import (
    BuiltEngine,
    ExecutorOptions,
    executor_config,
    executor_request,
    load_bindings,
)
from runtime.engine.frame_table import (
    FrameTable,
    end_id,
    read_audio_embedding,
)
from runtime.engine.sampler import Sampler, SamplerState
from runtime.engine.step_callback import StepCallback
from runtime.engine.tally import Tally
from runtime.engine.trtllm_stream import TrtllmStream, warm_up_requests
from runtime.engine.types import (
    MAX_RAS_WINDOW,
    EngineStats,
    FinishReason,
    FrameWindow,
    Limits,
    ModelDescription,
    Request,
)
from runtime.formats.errors import (
    EngineError,
    GenerationTimeoutError,
    InvalidRequestError,
    ModelLoadingError,
    OverloadedError,
    RequestError,
    classify,
)

DESCRIPTION, AUDIO_EMBEDDING, ENGINE = "lm.json", "audio_embedding.safetensors", "engine"
_PATIENCE = timedelta(milliseconds=50)  # how exactly deadlines are kept while the executor has nothing to say
_CLOSING_SECONDS = 10.0

logger = logging.getLogger(__name__)


class TrtllmEngine:
    """Streams through one executor on one GPU.

    Args:
        directory: `lm.json`, `audio_embedding.safetensors`, and in `engine/` what trtllm-build wrote.
        bindings: `tensorrt_llm.bindings.executor`, or what stands in for it; None imports it.

    Raises:
        ModelLoadingError: TensorRT-LLM or a file is missing, or the engine does not fit the model or the limits.
    """

    def __init__(
        self,
        directory: Path,
        limits: Limits,
        options: ExecutorOptions | None = None,
        bindings: Any = None,
    ) -> None:
        options = options or ExecutorOptions()
        self.description = ModelDescription.read(directory / DESCRIPTION)
        layout = self.description.layout
        self._layout, self._limits, self._device = layout, limits, torch.device(options.device)
        self._built = BuiltEngine.read(directory / ENGINE, layout, limits)
        self._bindings = load_bindings() if bindings is None else bindings
        slots = limits.max_streams + 1  # the callback moves by way of one more
        audio_embedding = read_audio_embedding(directory / AUDIO_EMBEDDING, layout)
        audio_embedding = audio_embedding.to(self._device, self._built.dtype)
        self._table = FrameTable(audio_embedding, layout, limits.max_streams, self._built.rows, slots)
        self._upload = torch.cuda.Stream(self._device) if self._device.type == "cuda" else None

        self._lock = threading.Condition()
        self._keys = itertools.count(1)
        self._named: dict[str, TrtllmStream] = {}  # not over yet, by request id
        self._waiting: deque[TrtllmStream] = deque()
        self._in_executor: dict[int, TrtllmStream] = {}  # by key, until the final response: over or not
        self._free_places = list(range(limits.max_streams))
        self._closing = False
        self._broken: RequestError | None = None
        self._tally = Tally()

        self._events: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        column_step = ColumnStep(
            layout,
            Sampler(layout, self._device, asynchronous=True),
            SamplerState(slots, layout, MAX_RAS_WINDOW, self._device),
            self._table,
            self._device,
        )
        if self._device.type == "cuda":
            if options.cuda_graphs:
                column_step.record(cuda_graph_recorder())
            torch.cuda.synchronize(self._device)  # the executor's stream does not wait for what was set up here
        self._callback = StepCallback(
            self._in_executor,
            column_step,
            end_id(layout),
            CodeTransfer(slots, layout.num_codebooks, self._device),
            self._device,
            on_codes=lambda speakers, transfer: self._events.put(partial(self._collect, speakers, transfer)),
            on_error=lambda speakers, error: self._events.put(partial(self._fail_all, speakers, error)),
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

    def submit(self, request: Request, on_event: Callable[[Event], None]) -> None:
        """Queue a request.

        Raises:
            InvalidRequestError: its id is taken, its prompt leaves no room to speak, or its clips take too many rows.
            OverloadedError: the queue is full.
        """
        try:
            stream = TrtllmStream.of(request, on_event, next(self._keys), self._layout, self._limits, self._built)
            with self._lock:
                self._admit(stream)
                self._feed()
        except RequestError:
            with self._lock:
                self._tally.refused += 1
            raise

    def stream(self, request: Request) -> Iterator[FrameWindow]:
        """Submit and iterate over the windows; leaving the loop early cancels. Raises the request's error."""
        return iterate(self, request)

    def cancel(self, request_id: str) -> bool:
        """End a request before the next step or the one after; its last event says `cancelled`.

        False when it is not here.
        """
        with self._lock:
            stream = self._named.get(request_id)
        if stream is not None:
            self._events.put(partial(self._cancel, stream))
        return stream is not None

    def stats(self) -> EngineStats:
        """A snapshot of now and of the totals since the start. A stream is live while it holds a place.

        What is kept for later prompts lies in the executor's own cache and is not counted.
        """
        with self._lock:
            return self._tally.stats(len(self._in_executor), len(self._waiting), 0)

    def warm_up(self) -> None:
        """Let as many short streams as there are places run and end one after another; none of them is counted.

        The executor thus meets every number of streams once, and records its network's CUDA graph for it.
        """
        events: SimpleQueue[Event] = SimpleQueue()
        for request in warm_up_requests(self._limits.max_streams, self._built.tokens_per_block):
            self.submit(request, events.put)
        for _ in range(self._limits.max_streams):
            event = events.get()
            if isinstance(event, RequestError):
                raise ModelLoadingError(f"the engine's first streams failed: {event}")
        with self._lock:
            while self._in_executor:
                self._lock.wait(_CLOSING_SECONDS)
            self._tally = Tally()

    def close(self) -> None:
        """Cancel everything, stop the threads and the executor."""
        with self._lock:
            self._closing = True
            for stream in self._named.values():
                self._events.put(partial(self._cancel, stream))
            self._lock.notify_all()
        self._receiver.join(_CLOSING_SECONDS)
        self._events.put(None)
        self._collector.join(_CLOSING_SECONDS)
        self._executor.shutdown()

    # The caller's side: from a request to a request of the executor.

    def _admit(self, stream: TrtllmStream) -> None:
        request_id, limits = stream.request.request_id, self._limits
        if self._closing:
            raise ModelLoadingError("the engine is stopping")
        if self._broken is not None:
            raise self._broken
        if request_id in self._named:
            raise InvalidRequestError(f"a request with the id {request_id!r} is already being served")
        if stream.request.continues:
            self._waiting.appendleft(stream)
            self._named[request_id] = stream
            return
        if len(self._waiting) >= limits.max_waiting + len(self._free_places):
            raise OverloadedError(
                f"{len(self._in_executor)} streams are live and {len(self._waiting)} requests wait, which is the "
                "limit; try again later"
            )
        self._named[request_id] = stream
        self._waiting.append(stream)

    def _feed(self) -> None:
        """Hand waiting streams to the executor while places are free. Call with the lock."""
        while self._waiting and self._free_places:
            stream = self._waiting.popleft()
            stream.place = self._free_places.pop()
            self._tally.busy(True)
            self._in_executor[stream.key] = stream  # before the executor has it: it may call back at once
            try:
                request = self._executor_request(stream)
                stream.executor_id = self._executor.enqueue_request(request)
            except Exception as error:
                self._vacate(stream)
                self._events.put(partial(self._fail, stream, error))
        self._lock.notify_all()

    def _executor_request(self, stream: TrtllmStream) -> Any:
        with torch.cuda.stream(self._upload):  # no stream on a CPU, where this does nothing
            columns = torch.from_numpy(stream.tokens.columns).to(self._device)
            stream.table = self._table.fill(stream.place, columns)
            tail = stream.request.prompt.tail
            stream.tail = None if tail is None else torch.from_numpy(tail).to(self._device)
        if self._upload is not None:
            self._upload.synchronize()  # the executor's stream knows nothing of this one
        last_column = stream.codes.columns_needed - 1
        return executor_request(self._bindings, stream.tokens, stream.table, last_column, self._layout, stream.key)

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
            if stream.over:  # the step was under way when it ended
                continue
            try:
                frames += stream.codes.append(column)
                going.append(stream)
            except Exception as error:
                self._fail(stream, error)
        with self._lock:  # before anybody hears of it
            self._tally.steps += 1
            self._tally.frames += frames
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
        if self._end(stream, failure):
            tell(stream.request.request_id, stream.on_event, failure)

    def _end(self, stream: TrtllmStream, how: FinishReason | RequestError) -> bool:
        """Take a stream off the list; False when it was off already.

        From here on the callback gives its request the end id. A stream that did not finish is also cancelled in the
        executor, where it may be waiting, or reading its prompt, and get no callback for a while.
        """
        with self._lock:
            stream.over = True
            if self._named.get(stream.request.request_id) is not stream:
                return False
            del self._named[stream.request.request_id]
            if stream in self._waiting:
                self._waiting.remove(stream)
            if isinstance(how, RequestError):
                self._tally.fail(how)
            elif how is FinishReason.CANCELLED:
                self._tally.cancelled += 1
            else:
                self._tally.finish(how)
                return True
            if stream.key in self._in_executor and stream.executor_id is not None:
                self._executor.cancel_request(stream.executor_id)
            return True

    # The receiving thread: the executor's final responses, and deadlines.

    def _run_receiver(self) -> None:
        while True:
            with self._lock:
                while not self._in_executor and not self._closing:
                    self._lock.wait()
                if self._closing and not self._in_executor:
                    return
            try:
                responses = self._executor.await_responses(timeout=_PATIENCE)
            except Exception as error:
                logger.exception("the executor does not answer any more")
                self._collapse(error)
                return
            for response in responses:
                self._receive(response)
            self._expire(time.monotonic())

    def _receive(self, response: Any) -> None:
        """Free the place of a request that is over, and end its stream if nothing else did."""
        stream = self._in_executor.get(response.client_id)
        if stream is None or not (response.has_error() or response.result.is_final):
            return
        if response.has_error():
            error = classify(RuntimeError(response.error_msg))
        else:
            # Behind the last codes in the queue: a stream that is complete is over by then.
            reasons = ", ".join(str(reason) for reason in response.result.finish_reasons)
            error = EngineError(f"the executor ended the stream before its speech was complete ({reasons})")
        self._events.put(partial(self._fail, stream, error))
        with self._lock:
            self._tally.prefix_positions_reused += self._reused_positions(response)
            self._vacate(stream)
            self._feed()

    def _reused_positions(self, response: Any) -> int:
        """Prompt positions of a request that is over whose keys and values were those of an earlier one, in blocks."""
        metrics = None if response.has_error() else response.result.request_perf_metrics
        return metrics.kv_cache_metrics.num_reused_blocks * self._built.tokens_per_block if metrics else 0

    def _vacate(self, stream: TrtllmStream) -> None:
        """Take a stream's place back. Call with the lock."""
        del self._in_executor[stream.key]
        self._free_places.append(stream.place)
        self._tally.busy(bool(self._in_executor))
        self._lock.notify_all()

    def _expire(self, now: float) -> None:
        with self._lock:
            late = [stream for stream in self._named.values() if now >= stream.deadline]
            for stream in late:
                waited = stream in self._waiting
                sentence = "while it waited for a free stream" if waited else "before its speech was complete"
                error = GenerationTimeoutError(f"the request's time limit passed {sentence}")
                self._events.put(partial(self._fail, stream, error))

    def _collapse(self, error: Exception) -> None:
        """The executor is lost: everybody is told, and so is whoever comes later."""
        with self._lock:
            self._broken = classify(error)
            for stream in list(self._named.values()):
                self._events.put(partial(self._fail, stream, error))
