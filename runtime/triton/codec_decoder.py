"""Triton model `codec_decoder`: windows of codes to samples, windows of many streams in one call.

in:  codes int32 [1, num_codebooks, frames]
out: samples float32 [1, frames * hop_length]
"""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from runtime.codec.batcher import WindowBatcher
from runtime.codec.networks import open_network
from runtime.formats.errors import AudioTokenizationError, InvalidRequestError, RequestError, sentence
from runtime.triton import tensors


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        settings = tensors.settings(args)
        decoder = open_network(tensors.version_directory(args), "decoder", settings)
        self._num_codebooks: int = settings["num_codebooks"]
        self._codebook_size: int = settings["codebook_size"]
        self._batcher = WindowBatcher(decoder, self._answer, settings["max_batch"])

    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            sender = request.get_response_sender()
            try:
                codes = self._checked(tensors.array(request, "codes"))
            except InvalidRequestError as error:
                self._answer(sender, error)
                continue
            # A copy: the tensor's memory is Triton's, and goes back to it with this call.
            self._batcher.put(sender, codes.copy())

    def finalize(self) -> None:
        self._batcher.close()

    def _checked(self, codes: np.ndarray | None) -> np.ndarray:
        """A window the network can decode: whoever shares its batch must not fail for it."""
        if codes is None or codes.ndim != 3 or codes.shape[:2] != (1, self._num_codebooks) or codes.shape[2] == 0:
            raise InvalidRequestError(f"codes must be [1, {self._num_codebooks}, frames], with 1 frame or more")
        if codes.min() < 0 or codes.max() >= self._codebook_size:
            raise InvalidRequestError(f"codes must lie from 0 to {self._codebook_size - 1}")
        return codes

    @staticmethod
    def _answer(sender: Any, result: np.ndarray | Exception) -> None:
        if isinstance(result, RequestError):
            response = pb_utils.InferenceResponse(error=pb_utils.TritonError(sentence(result)))
        elif isinstance(result, Exception):
            failure = AudioTokenizationError(f"the codec could not decode a window: {result}")
            response = pb_utils.InferenceResponse(error=pb_utils.TritonError(sentence(failure)))
        else:
            response = pb_utils.InferenceResponse([tensors.tensor("samples", result, np.float32)])
        sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
