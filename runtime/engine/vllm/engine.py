"""The engine over vLLM: its scheduler and workers choose and run the steps, and our sampling in them speaks.

One thread owns vLLM: it hands over streams, steps, cuts what comes out into windows, tells listeners, and ends streams.
Other threads only put down what they want. The roster's lock guards which stream is where; no listener is called while
it is held.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import set_num_threads  # vLLM puts one that does nothing in its place

from runtime.engine.contract import Listener, tell
from runtime.engine.roster import Roster, RosterEngine
from runtime.engine.types import FinishReason, FrameWindow, Limits, ModelDescription, Pace, Request
from runtime.engine.vllm.clip_table import ClipTable
from runtime.engine.vllm.id_space import IdSpace
from runtime.engine.vllm.options import VllmOptions, start_vllm
from runtime.engine.vllm.stream import VllmStream
from runtime.formats.errors import EngineError, RequestError, classify

_CLOSING_SECONDS = 10.0

logger = logging.getLogger(__name__)


class VllmEngine(RosterEngine[VllmStream]):
    """A `SpeechEngine` that runs its streams through one vLLM, on this machine's CPU or GPUs.

    Args:
        directory: `lm.json`, and the checkpoint as transformers writes it.
        threads: of this process that compute; on a GPU one is enough.

    Raises:
        ModelLoadingError: vLLM or a file is missing, or it does not take the checkpoint or the limits.
    """

    def __init__(self, directory: Path, limits: Limits, threads: int, options: VllmOptions) -> None:
        description = ModelDescription.read(directory / ModelDescription.FILE)
        self._layout, self._limits, self._threads = description.layout, limits, threads
        rows = limits.max_streams * limits.max_positions
        self._space = IdSpace(self._layout.num_codebooks, limits.max_streams, description.vocab_size, rows)
        self._clips = ClipTable(self._space)
        self._keys = itertools.count(1)
        self._roster = Roster[VllmStream](limits)
        self._cancelled: list[VllmStream] = []
        set_num_threads(threads)
        self._vllm = start_vllm(directory, limits, threads, options)
        self._thread = threading.Thread(target=self._run, name="vllm", daemon=True)
        self._thread.start()

    def submit(self, request: Request, on_event: Listener) -> None:
        """As `SpeechEngine.submit`."""
        try:
            stream = VllmStream.of(request, on_event, next(self._keys), self._layout, self._limits)
            with self._roster.lock:
                self._roster.admit(stream)
                self._roster.lock.notify_all()
        except RequestError:
            with self._roster.lock:
                self._roster.statistics.refused += 1
            raise

    def cancel(self, request_id: str) -> bool:
        """As `SpeechEngine.cancel`."""
        with self._roster.lock:
            stream = self._roster.named.get(request_id)
            if stream is not None:
                self._cancelled.append(stream)
                self._roster.lock.notify_all()
        return stream is not None

    def pace(self, pace: Pace) -> None:
        """Like `SpeechEngine.pace`; vLLM cannot hold a stream, so those in it go on to their part's end."""
        with self._roster.lock:
            self._roster.pace = pace
            self._roster.lock.notify_all()

    def close(self) -> None:
        """As `SpeechEngine.close`."""
        with self._roster.lock:
            self._roster.closing = True
            self._cancelled += self._roster.named.values()
            self._roster.lock.notify_all()
        self._thread.join(_CLOSING_SECONDS)
        self._vllm.engine_core.shutdown()

    # The engine's thread.

    def _run(self) -> None:
        set_num_threads(self._threads)  # OpenMP counts by thread
        while self._wait():
            try:
                self._end_what_must_end()
                self._feed()
                if self._roster.in_executor:
                    self._deliver(self._vllm.step())
            except Exception as error:
                logger.exception("vLLM failed")
                self._break(error)
                return

    def _wait(self) -> bool:
        """Sleep until there is something to do; False when the engine closes and no stream is left."""
        roster = self._roster
        with roster.lock:
            while not (roster.closing or roster.in_executor or self._cancelled):
                if roster.has_next() or roster.late(time.monotonic()):
                    break
                roster.lock.wait(roster.next_deadline(time.monotonic()))
            return bool(roster.named or roster.in_executor or not roster.closing)

    def _end_what_must_end(self) -> None:
        with self._roster.lock:
            cancelled, self._cancelled = self._cancelled, []
            late = self._roster.late(time.monotonic())
        for stream in cancelled:
            self._end(stream, stream.codes.last_window(FinishReason.CANCELLED))
        for stream, error in late:
            self._end(stream, error)

    def _feed(self) -> None:
        """Hand waiting streams to vLLM while places are free."""
        while True:
            with self._roster.lock:
                stream = self._roster.next()
            if stream is None:
                return
            ids, order = stream.enter(self._space, self._clips)
            parameters = self._parameters(stream, order.write())
            try:
                self._vllm.add_request(str(stream.key), {"prompt_token_ids": ids}, parameters)
            except Exception as error:  # of this request; a lost vLLM says so at the next step
                self._end(stream, classify(error))

    def _parameters(self, stream: VllmStream, extra_args: dict[str, Any]) -> Any:
        from vllm import SamplingParams  # noqa: PLC0415
        from vllm.sampling_params import RequestOutputKind  # noqa: PLC0415

        return SamplingParams(
            temperature=0.0,  # the likeliest id of each row: our sampling forces it
            max_tokens=stream.codes.columns_needed - 1,  # column 0 is part of the prompt
            ignore_eos=True,
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
            logprob_token_ids=list(range(self._layout.num_codebooks)),
            extra_args=extra_args,
        )

    def _deliver(self, outputs: list[Any]) -> None:
        """A step's codes: windows to their listeners, and an end to the streams that are complete."""
        with self._roster.lock:
            self._roster.statistics.steps += 1
        for output in outputs:
            stream = self._roster.in_executor.get(int(output.request_id))
            if stream is None:  # it ended while the step was running
                continue
            try:
                self._append(stream, output)
            except Exception as error:
                self._end(stream, classify(error))
            if output.finished:
                self._end(stream, EngineError("vLLM ended the stream before its speech was complete"))

    def _append(self, stream: VllmStream, output: Any) -> None:
        for column in self._codes(output):
            frames = stream.codes.append(column)
            with self._roster.lock:  # before anybody hears of it
                self._roster.statistics.frames += frames
        for window in stream.codes.windows():
            if window.finish_reason is None:
                tell(stream.request.request_id, stream.on_event, window)
            else:
                self._end(stream, window, output.num_cached_tokens or 0)

    def _codes(self, output: Any) -> Iterator[np.ndarray]:
        """The columns of an output, int64 [num_codebooks] each: the values that our sampling gave the first ids."""
        for values in output.outputs[0].logprobs or ():
            yield np.array([int(values[codebook].logprob) for codebook in range(self._layout.num_codebooks)])

    def _end(self, stream: VllmStream, event: FrameWindow | RequestError, reused: int = 0) -> None:
        """The last event of a stream, once; vLLM lets it go and its place is free."""
        how = event if isinstance(event, RequestError) else event.finish_reason
        assert how is not None
        with self._roster.lock:
            ended = self._roster.end(stream, how)
            self._roster.statistics.prefix_positions_reused += reused
        if stream.key in self._roster.in_executor:
            if self._roster.broken is None:
                self._vllm.abort_request([str(stream.key)])
            stream.leave(self._clips)
            with self._roster.lock:
                self._roster.vacate(stream)
        if ended:
            tell(stream.request.request_id, stream.on_event, event)

    def _break(self, error: Exception) -> None:
        """vLLM is lost: fail every stream, and every later request."""
        failure = classify(error)
        with self._roster.lock:
            self._roster.broken = failure
            streams = list(self._roster.named.values())
        for stream in streams:
            self._end(stream, failure)
