"""Triton model `codec_decoder`: decodes windows of codes into samples, windows of many streams in one call.

in:  codes int32 [1, num_codebooks, frames] and window (JSON), as `formats/window.py` describes them; in front of the
     window stands the signature of `lm` over both (`formats/signing.py`)
out: audio float32 [new samples] in [-1, 1], start_sample int64 [1], part int32 [1], speaker; said (JSON) on the first
     window of each part only, finish_reason and report (JSON) on the last window only
"""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from runtime.codec.batcher import WindowBatcher
from runtime.codec.networks import open_network
from runtime.codec.stream_samples import NOTHING, stream_samples
from runtime.formats.errors import (
    AudioTokenizationError,
    InvalidRequestError,
    MemoryExhaustionError,
    RequestError,
    classify,
    is_out_of_memory,
    require,
    timed_out,
)
from runtime.formats.window import FinishReason, Window
from runtime.triton import tensors
from runtime.triton.beat import Work, beat
from runtime.triton.farewell import end_if_lost
from runtime.triton.metrics import WaitingWindows
from runtime.triton.notes import Note, NoteSender
from runtime.triton.threads import CODEC_VARIABLE, threads

_METRICS_SECONDS = 0.25

Ticket = tuple[Any, Window]  # a response sender, and the window it must answer


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        settings = tensors.settings(args)
        settings["threads"] = threads(CODEC_VARIABLE, settings["threads"])
        decoder = open_network(tensors.version_directory(args), "decoder", settings)
        self._num_codebooks: int = settings["num_codebooks"]
        self._codebook_size: int = settings["codebook_size"]
        self._max_frames: int = settings["max_frames"]
        self._context: int = settings["context_frames"]
        self._frame_seconds: float = settings["frame_seconds"]
        self._hop_length: int = settings["hop_length"]
        self._fade_samples: int = settings["fade_samples"]
        self._seal = tensors.seal(args)
        self._notes = NoteSender("lm")
        self._cut: dict[str, int] = {}  # the first frame that was not decoded, of streams that are over
        self._held: dict[str, np.ndarray] = {}  # float32 [samples] at the open ends of streams
        self._work = Work()
        self._batcher = WindowBatcher[Ticket](decoder, self._answered, settings["max_batch"])
        self._closing = threading.Event()
        self._publisher = threading.Thread(target=self._publish, name="metrics", daemon=True)
        self._publisher.start()
        beat("codec_decoder", self._work.last_progress)

    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            sender = request.get_response_sender()
            try:
                window = self._window(request)
            except Exception as error:
                tensors.refuse(sender, classify(error, "reading a window"))
                continue
            gone = sender.is_cancelled()
            codes = None if gone or window.abandons else window.surrounded(self._context)
            seconds = (window.count + window.pause) * self._frame_seconds
            self._work.begin()
            self._batcher.put(window.stream, (sender, window), codes, window.deadline, seconds)
            if gone:
                self._notes.send(Note(window.stream, gone=True))

    def finalize(self) -> None:
        self._batcher.close()
        self._closing.set()
        self._publisher.join()

    def _window(self, request: Any) -> Window:
        """Read a window and check that the network can decode it: one bad window must not fail its whole batch."""
        codes = tensors.required(request, "codes")
        if codes.ndim != 3 or codes.shape[:2] != (1, self._num_codebooks):
            raise InvalidRequestError(f"codes must be [1, {self._num_codebooks}, frames]")
        if codes.shape[2] > self._max_frames:
            raise InvalidRequestError(f"codes has {codes.shape[2]} frames; a window has at most {self._max_frames}")
        written = self._seal.opened("window", tensors.text(request, "window", tensors.LONGEST_OF_OURS), codes)
        if codes.size and (codes.min() < 0 or codes.max() >= self._codebook_size):
            raise InvalidRequestError(f"codes must lie from 0 to {self._codebook_size - 1}")
        # Copy: Triton owns the tensor's memory and takes it back when this call returns.
        window = Window.read(codes[0].copy(), written)
        require(window.count <= self._max_frames - 2 * self._context, "count", window.count)
        return window

    def _answered(self, ticket: Ticket, result: np.ndarray | Exception | None) -> None:
        try:
            self._answer(ticket, result)
        finally:
            self._work.end()

    def _answer(self, ticket: Ticket, result: np.ndarray | Exception | None) -> None:
        sender, window = ticket
        held = self._held.pop(window.stream, NOTHING)
        # What follows a window that was not decoded has no samples either, so all of it stands where that one began.
        start = self._cut.get(window.stream, window.start)
        if result is None and not window.last:
            self._cut[window.stream] = start
        elif window.last:
            self._cut.pop(window.stream, None)
        if window.fault:
            # An error that leaves the language model after audio would overtake that audio and leak the request in
            # Triton's ensemble; passed on in band, it arrives behind it and ends the stream cleanly.
            tensors.refuse(sender, window.fault)
        elif isinstance(result, Exception):
            if not isinstance(result, RequestError):
                end_if_lost("codec_decoder", result)
                kind = MemoryExhaustionError if is_out_of_memory(result) else AudioTokenizationError
                result = kind(f"the codec could not decode a window: {result}")
            tensors.refuse(sender, result)
        elif result is not None:
            audio, rest = stream_samples(result, window, self._hop_length, self._fade_samples, held)
            if len(rest):
                self._held[window.stream] = rest
            tensors.send(sender, self._response(window, audio, window.start * self._hop_length - len(held)))
        elif window.last and window.finish_reason is not FinishReason.CANCELLED and _passed(window.deadline):
            tensors.refuse(sender, timed_out())
        else:
            tensors.send(sender, self._response(window, held, start * self._hop_length - len(held)))
        self._notes.send(Note(window.stream, window.stop))

    def _publish(self) -> None:
        waiting = WaitingWindows()
        while not self._closing.wait(_METRICS_SECONDS):
            waiting.set(self._batcher.waiting)

    def _response(self, window: Window, audio: np.ndarray, start: int) -> pb_utils.InferenceResponse:
        """start: the sample of the stream with which they begin."""
        return pb_utils.InferenceResponse(
            [
                tensors.tensor("audio", audio, np.float32),
                tensors.tensor("start_sample", [start], np.int64),
                tensors.tensor("part", [window.part], np.int32),
                tensors.string_tensor("speaker", window.speaker),
                tensors.string_tensor("finish_reason", window.finish_reason.value if window.finish_reason else ""),
                tensors.string_tensor("report", _json(window.report)),
                tensors.string_tensor("said", _json(window.said)),
            ]
        )


def _json(told: dict[str, Any] | None) -> str:
    return json.dumps(told, ensure_ascii=False) if told else ""


def _passed(deadline: float) -> bool:
    return time.monotonic() >= deadline
