"""Triton model `pcm`: cut the codec's context off a window, clamp, and say where in the stream it belongs.

in:  samples float32 [1, window samples], context / count int32 [1] (frames before, and of, the new audio),
     start_frame int64 [1], finish_reason, fault (a sentence when the stream failed; on its last window only)
out: audio float32 [new samples] in [-1, 1], start_sample int64 [1], finish_reason
"""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from common import tensors


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self._hop_length: int = tensors.settings(args)["hop_length"]

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._cut(request) for request in requests]

    def _cut(self, request: Any) -> Any:
        fault = tensors.text(request, "fault")
        if fault:
            # An error that leaves the language model after audio would overtake that audio and leak the request in
            # Triton's ensemble; passed on in band, it arrives behind it and ends the stream cleanly.
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(fault))
        samples = tensors.array(request, "samples").reshape(-1)
        context, count, start = (int(tensors.array(request, n)[0]) for n in ("context", "count", "start_frame"))
        audio = samples[context * self._hop_length : (context + count) * self._hop_length]
        return pb_utils.InferenceResponse(
            [
                tensors.tensor("audio", np.clip(audio, -1.0, 1.0), np.float32),
                tensors.tensor("start_sample", [start * self._hop_length], np.int64),
                tensors.string_tensor("finish_reason", tensors.text(request, "finish_reason") or ""),
            ]
        )
