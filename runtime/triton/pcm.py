"""Triton model `pcm`: cut the codec's context off a window, join it to its neighbours, and say where it belongs.

in:  samples float32 [1, window samples], context / count int32 [1] (frames before, and of, the new audio),
     start_frame int64 [1], joins bool [2] (whether another part joins in front of, behind it), pause int32 [1] (frames
     of silence behind it), part int32 [1], speaker, finish_reason and report (on the last window only), fault (a
     sentence when the stream failed; on its last window only)
out: audio float32 [new samples] in [-1, 1], start_sample int64 [1], part int32 [1], speaker, finish_reason, report
"""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from runtime.codec.joins import joined
from runtime.triton import tensors


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        settings = tensors.settings(args)
        self._hop_length: int = settings["hop_length"]
        self._fade_samples: int = settings["fade_samples"]

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._cut(request) for request in requests]

    def _cut(self, request: Any) -> Any:
        fault = tensors.text(request, "fault")
        if fault:
            # An error that leaves the language model after audio would overtake that audio and leak the request in
            # Triton's ensemble; passed on in band, it arrives behind it and ends the stream cleanly.
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(fault))
        samples = tensors.required(request, "samples").reshape(-1)
        context, count, start, pause, part = (
            int(tensors.required(request, name)[0]) for name in ("context", "count", "start_frame", "pause", "part")
        )
        begins, ends = tensors.required(request, "joins")
        new = np.clip(samples[context * self._hop_length : (context + count) * self._hop_length], -1.0, 1.0)
        audio = joined(new, begins, ends, self._fade_samples, pause * self._hop_length)
        return pb_utils.InferenceResponse(
            [
                tensors.tensor("audio", audio, np.float32),
                tensors.tensor("start_sample", [start * self._hop_length], np.int64),
                tensors.tensor("part", [part], np.int32),
                *(
                    tensors.string_tensor(name, tensors.text(request, name) or "")
                    for name in ("speaker", "finish_reason", "report")
                ),
            ]
        )
