"""From the engine's events to Triton responses, on a thread of its own so that no step waits for a response."""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from common import tensors
from common.errors import sentence
from engine.contract import Event
from engine.errors import EngineError
from engine.types import CodebookLayout, FinishReason
from metrics import EngineMetrics

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class Stream:
    """One request's way back to its client."""

    def __init__(self, sender: Any, delivery: Delivery) -> None:
        self._sender, self._delivery = sender, delivery
        self._arrived = time.monotonic()
        self._sent_frames = 0

    def on_event(self, event: Event) -> None:
        """Called by the engine; returns at once."""
        self._delivery.put(self, event)

    def refuse(self, error: Exception) -> None:
        """Answer with an error and nothing else."""
        error_response = pb_utils.InferenceResponse(error=pb_utils.TritonError(sentence(error)))
        self._sender.send(error_response, flags=FINAL)

    def deliver(self, event: Event, metrics: EngineMetrics, layout: CodebookLayout, frame_seconds: float) -> None:
        """Send one event as one response; the last one carries Triton's final flag."""
        # The codec is a network: it takes at least one frame, so a response without new ones carries one to cut off.
        blank = np.zeros((layout.num_codebooks, 1), np.int32)
        elapsed = time.monotonic() - self._arrived
        if isinstance(event, EngineError):
            if self._sent_frames == 0:
                self.refuse(event)
            else:
                # In band, so that it stays behind the audio already on its way (see the pcm model).
                self._sender.send(_response(blank, 0, 0, 0, None, sentence(event)), flags=FINAL)
            return
        if self._sent_frames == 0 and event.count > 0:
            metrics.first_window(elapsed)
        self._sent_frames += event.count
        if event.finish_reason in (FinishReason.STOP, FinishReason.LENGTH):
            metrics.finished(elapsed, self._sent_frames * frame_seconds)
        codes = event.codes if event.codes.shape[1] else blank
        response = _response(codes, event.context, event.count, event.start, event.finish_reason, "")
        self._sender.send(response, flags=FINAL if event.finish_reason else 0)


class Delivery:
    """The thread that sends."""

    def __init__(self, metrics: EngineMetrics, layout: CodebookLayout, frame_seconds: float) -> None:
        self._metrics, self._layout, self._frame_seconds = metrics, layout, frame_seconds
        self._events: SimpleQueue[tuple[Stream, Event] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)
        self._thread.start()

    def put(self, stream: Stream, event: Event) -> None:
        """Queue an event; each stream's events leave in order."""
        self._events.put((stream, event))

    def close(self) -> None:
        """Send what is queued and stop."""
        self._events.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._events.get()) is not None:
            stream, event = item
            try:
                stream.deliver(event, self._metrics, self._layout, self._frame_seconds)
            except Exception as error:  # one broken response must not silence the other streams
                pb_utils.Logger.log_error(f"a response could not be sent: {error!r}")


def _response(codes: np.ndarray, context: int, count: int, start: int, reason: FinishReason | None, fault: str) -> Any:
    return pb_utils.InferenceResponse(
        [
            tensors.tensor("codes", codes[None], np.int32),
            tensors.tensor("context", [context], np.int32),
            tensors.tensor("count", [count], np.int32),
            tensors.tensor("start_frame", [start], np.int64),
            tensors.string_tensor("finish_reason", reason.value if reason else ""),
            tensors.string_tensor("fault", fault),
        ]
    )
