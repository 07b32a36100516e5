"""Sends windows as Triton responses, on a separate thread so that no step waits for a response."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from runtime.engine.types import CodebookLayout
from runtime.formats.errors import RequestError, sentence
from runtime.formats.signing import Seal
from runtime.formats.window import FinishReason, Window
from runtime.triton import tensors
from runtime.triton.metrics import LmMetrics


class Responses:
    """Sends one request's responses to its client.

    Args:
        arrived, deadline: of the request, on the machine's clock.
        on_sent: called after each window with the frame that the next one begins with.
        on_end: called once, after the last response, with whether its client wants what was sent before.
    """

    def __init__(
        self,
        stream: str,
        sender: Any,
        seal: Seal,
        metrics: LmMetrics,
        layout: CodebookLayout,
        frame_seconds: float,
        arrived: float,
        deadline: float,
        on_sent: Callable[[int], None],
        on_end: Callable[[bool], None],
    ) -> None:
        self._stream, self._sender, self._seal, self._metrics = stream, sender, seal, metrics
        self._on_sent, self._on_end = on_sent, on_end
        self._frame_seconds, self._deadline = frame_seconds, deadline
        self._no_codes = np.zeros((layout.num_codebooks, 0), np.int32)
        self._arrived = arrived
        self._sent_frames = 0

    def send(self, event: Window | RequestError) -> None:
        """Send one response; the last one carries Triton's final flag."""
        over = isinstance(event, RequestError) or event.finish_reason is not None
        try:
            if isinstance(event, RequestError):
                self._fail(event)
            else:
                self._send_window(event)
        finally:
            if over:
                self._on_end(not (isinstance(event, RequestError) or event.abandons))

    def _fail(self, error: RequestError) -> None:
        if self._sent_frames == 0:
            tensors.refuse(self._sender, error)
            return
        # In band, so that it stays behind the audio already on its way (see the codec's model).
        self._deliver(Window(self._no_codes, fault=sentence(error)), last=True)

    def _send_window(self, window: Window) -> None:
        elapsed = time.monotonic() - self._arrived
        if self._sent_frames == 0 and window.count > 0:
            self._metrics.first_window(elapsed)
        self._sent_frames += window.count + window.pause
        if window.report is not None:
            self._metrics.stream_reported(window.report)
        if window.finish_reason not in (None, FinishReason.CANCELLED):
            self._metrics.finished(elapsed, self._sent_frames * self._frame_seconds)
        self._deliver(window, last=window.finish_reason is not None)
        self._on_sent(window.stop)

    def _deliver(self, window: Window, last: bool) -> None:
        codes = tensors.tensor("codes", window.codes[None], np.int32)
        addressed = replace(window, stream=self._stream, deadline=self._deadline)
        rest = self._seal.sealed("window", addressed.write(), codes.as_numpy())
        response = pb_utils.InferenceResponse([codes, tensors.string_tensor("window", rest)])
        tensors.send(self._sender, response, last)


class Delivery:
    """The thread that advances streams and sends responses."""

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)
        self._thread.start()

    def put(self, work: Callable[[], None]) -> None:
        """Queue a function to call; functions run in the order they were queued."""
        self._work.put(work)

    def close(self) -> None:
        """Run what is queued, then stop."""
        self._work.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work()
            except Exception as error:  # one broken response must not silence the other streams
                pb_utils.Logger.log_error(f"a response could not be sent: {error!r}")
