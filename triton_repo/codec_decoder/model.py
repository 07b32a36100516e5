"""Triton model `codec_decoder`: windows of codes to samples, windows of many streams in one call.

in:  codes int32 [1, num_codebooks, frames]
out: samples float32 [1, frames * hop_length]
"""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from batcher import WindowBatcher
from common import tensors
from common.errors import sentence
from common.onnx import session


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        settings = tensors.settings(args)
        decoder = session(tensors.version_directory(args) / "decoder.onnx", settings["threads"])
        self._batcher = WindowBatcher(
            lambda codes: decoder.run(None, {"codes": codes})[0], self._answer, settings["max_batch"]
        )

    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            codes = tensors.array(request, "codes")
            assert codes is not None
            # A copy: the tensor's memory is Triton's, and goes back to it with this call.
            self._batcher.put(request.get_response_sender(), codes.copy())

    def finalize(self) -> None:
        self._batcher.close()

    @staticmethod
    def _answer(sender: Any, result: np.ndarray | Exception) -> None:
        if isinstance(result, Exception):
            response = pb_utils.InferenceResponse(error=pb_utils.TritonError(sentence(result)))
        else:
            response = pb_utils.InferenceResponse([tensors.tensor("samples", result, np.float32)])
        sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
