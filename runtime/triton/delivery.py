"""From cues to Triton responses, on a thread of its own so that no step waits for a response."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from runtime.engine.types import CodebookLayout, FinishReason
from runtime.formats.errors import RequestError, sentence
from runtime.speech.player import Cue
from runtime.triton import tensors
from runtime.triton.engine_metrics import EngineMetrics

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class Stream:
    """One request's way back to its client. `on_end` is called once, when its last response has left."""

    def __init__(
        self,
        sender: Any,
        metrics: EngineMetrics,
        layout: CodebookLayout,
        frame_seconds: float,
        on_end: Callable[[], None],
    ) -> None:
        self._sender, self._metrics, self._on_end = sender, metrics, on_end
        self._frame_seconds = frame_seconds
        # The codec is a network: it takes at least one frame, so a response without new ones carries one to cut off.
        self._blank = np.zeros((layout.num_codebooks, 1), np.int32)
        self._arrived = time.monotonic()
        self._sent_frames = 0

    def send(self, event: Cue | RequestError) -> None:
        """Send one response; the last one carries Triton's final flag."""
        over = isinstance(event, RequestError) or event.finish_reason is not None
        try:
            if isinstance(event, RequestError):
                self._fail(event)
            else:
                self._send_cue(event)
        finally:
            if over:
                self._on_end()

    def _fail(self, error: RequestError) -> None:
        if self._sent_frames == 0:
            refuse(self._sender, error)
            return
        # In band, so that it stays behind the audio already on its way (see the pcm model).
        nothing = Cue(self._blank, 0, 0, 0, False, False, 0, 0, "", None, None)
        self._sender.send(_response(nothing, self._blank, sentence(error)), flags=FINAL)

    def _send_cue(self, cue: Cue) -> None:
        elapsed = time.monotonic() - self._arrived
        if self._sent_frames == 0 and cue.count > 0:
            self._metrics.first_window(elapsed)
        self._sent_frames += cue.count + cue.pause
        if cue.report is not None:
            self._metrics.parts_ended(len(cue.report["parts"]), cue.report["retries"])
        if cue.finish_reason not in (None, FinishReason.CANCELLED):
            self._metrics.finished(elapsed, self._sent_frames * self._frame_seconds)
        codes = cue.codes if cue.codes.shape[1] else self._blank
        self._sender.send(_response(cue, codes, ""), flags=FINAL if cue.finish_reason else 0)


class Delivery:
    """The thread on which scripts are played and responses leave."""

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)
        self._thread.start()

    def put(self, work: Callable[[], None]) -> None:
        """Queue something to do; it is done in the order it was put."""
        self._work.put(work)

    def close(self) -> None:
        """Do what is queued and stop."""
        self._work.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work()
            except Exception as error:  # one broken response must not silence the other streams
                pb_utils.Logger.log_error(f"a response could not be sent: {error!r}")


def refuse(sender: Any, error: Exception) -> None:
    """Answer with an error and nothing else."""
    sender.send(pb_utils.InferenceResponse(error=pb_utils.TritonError(sentence(error))), flags=FINAL)


def _response(cue: Cue, codes: np.ndarray, fault: str) -> Any:
    return pb_utils.InferenceResponse(
        [
            tensors.tensor("codes", codes[None], np.int32),
            tensors.tensor("context", [cue.context], np.int32),
            tensors.tensor("count", [cue.count], np.int32),
            tensors.tensor("start_frame", [cue.start], np.int64),
            tensors.tensor("joins", [cue.begins, cue.ends], np.bool_),
            tensors.tensor("pause", [cue.pause], np.int32),
            tensors.tensor("part", [cue.part], np.int32),
            tensors.string_tensor("speaker", cue.speaker),
            tensors.string_tensor("finish_reason", cue.finish_reason.value if cue.finish_reason else ""),
            tensors.string_tensor("report", json.dumps(cue.report, ensure_ascii=False) if cue.report else ""),
            tensors.string_tensor("fault", fault),
        ]
    )
