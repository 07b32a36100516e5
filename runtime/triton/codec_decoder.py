"""Triton model `codec_decoder`: decodes windows of codes into samples, windows of many streams in one call.

in:  codes int32 [1, num_codebooks, frames] and window (JSON), as `formats/window.py` describes them
out: audio float32 [new samples] in [-1, 1], start_sample int64 [1], part int32 [1], speaker; finish_reason and report
     (JSON) on the last window only
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from runtime.codec.batcher import WindowBatcher
from runtime.codec.networks import open_network
from runtime.codec.stream_samples import stream_samples
from runtime.formats.errors import (
    AudioTokenizationError,
    InvalidRequestError,
    MemoryExhaustionError,
    RequestError,
    is_out_of_memory,
)
from runtime.formats.window import Window
from runtime.triton import tensors
from runtime.triton.beat import Work, beat

Ticket = tuple[Any, Window]  # a response sender, and the window it must answer


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        settings = tensors.settings(args)
        decoder = open_network(tensors.version_directory(args), "decoder", settings)
        self._num_codebooks: int = settings["num_codebooks"]
        self._codebook_size: int = settings["codebook_size"]
        self._max_frames: int = settings["max_frames"]
        self._hop_length: int = settings["hop_length"]
        self._fade_samples: int = settings["fade_samples"]
        self._work = Work()
        self._batcher = WindowBatcher[Ticket](decoder, self._answered, settings["max_batch"])
        beat("codec_decoder", self._work.last_progress)

    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            sender = request.get_response_sender()
            try:
                window = self._window(request)
            except InvalidRequestError as error:
                tensors.refuse(sender, error)
                continue
            self._work.begin()
            self._batcher.put(window.stream, (sender, window), window.codes)

    def finalize(self) -> None:
        self._batcher.close()

    def _window(self, request: Any) -> Window:
        """Read a window and check that the network can decode it: one bad window must not fail its whole batch."""
        codes = tensors.required(request, "codes")
        if codes.ndim != 3 or codes.shape[:2] != (1, self._num_codebooks):
            raise InvalidRequestError(f"codes must be [1, {self._num_codebooks}, frames]")
        if codes.shape[2] > self._max_frames:
            raise InvalidRequestError(f"codes has {codes.shape[2]} frames; a window has at most {self._max_frames}")
        if codes.size and (codes.min() < 0 or codes.max() >= self._codebook_size):
            raise InvalidRequestError(f"codes must lie from 0 to {self._codebook_size - 1}")
        # Copy: Triton owns the tensor's memory and takes it back when this call returns.
        return Window.read(codes[0].copy(), tensors.text(request, "window") or "")

    def _answered(self, ticket: Ticket, result: np.ndarray | Exception) -> None:
        try:
            self._answer(ticket, result)
        finally:
            self._work.end()

    def _answer(self, ticket: Ticket, result: np.ndarray | Exception) -> None:
        sender, window = ticket
        if window.fault:
            # An error that leaves the language model after audio would overtake that audio and leak the request in
            # Triton's ensemble; passed on in band, it arrives behind it and ends the stream cleanly.
            tensors.refuse(sender, window.fault)
        elif isinstance(result, Exception):
            if not isinstance(result, RequestError):
                kind = MemoryExhaustionError if is_out_of_memory(result) else AudioTokenizationError
                result = kind(f"the codec could not decode a window: {result}")
            tensors.refuse(sender, result)
        else:
            sender.send(self._response(window, result), flags=tensors.FINAL)

    def _response(self, window: Window, samples: np.ndarray) -> pb_utils.InferenceResponse:
        audio = stream_samples(samples, window, self._hop_length, self._fade_samples)
        report = json.dumps(window.report, ensure_ascii=False) if window.report else ""
        return pb_utils.InferenceResponse(
            [
                tensors.tensor("audio", audio, np.float32),
                tensors.tensor("start_sample", [window.start * self._hop_length], np.int64),
                tensors.tensor("part", [window.part], np.int32),
                tensors.string_tensor("speaker", window.speaker),
                tensors.string_tensor("finish_reason", window.finish_reason.value if window.finish_reason else ""),
                tensors.string_tensor("report", report),
            ]
        )
