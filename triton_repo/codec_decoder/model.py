"""Triton model `codec_decoder`: windows of codes to samples, windows of many streams in one call.

in:  codes int32 [num_codebooks, frames] a request of the batch
out: samples float32 [frames * hop_length]

Triton's dynamic batcher collects whatever waits (ragged); windows of equal length are decoded together.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from common import tensors
from common.onnx import session


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        settings = tensors.settings(args)
        self._session = session(tensors.version_directory(args) / "decoder.onnx", settings["threads"])

    def execute(self, requests: list[Any]) -> list[Any]:
        windows = [tensors.array(request, "codes") for request in requests]
        by_length: dict[int, list[int]] = defaultdict(list)
        for index, codes in enumerate(windows):
            assert codes is not None
            by_length[codes.shape[-1]].append(index)
        responses: list[Any] = [None] * len(requests)
        for indices in by_length.values():
            batch = np.concatenate([windows[index] for index in indices])
            samples = self._session.run(None, {"codes": batch})[0]
            for index, row in zip(indices, samples, strict=True):
                tensor = tensors.tensor("samples", row.reshape(1, -1), np.float32)
                responses[index] = pb_utils.InferenceResponse([tensor])
        return responses
