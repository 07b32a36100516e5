"""Triton model `codec_encoder`: reference audio to codes, each clip once; requests without a clip pass at once.

in:  reference_samples float32 [samples], whole codec frames, possibly none
out: reference_codes int32 [num_codebooks, frames]

Answers through response senders, so that a clip being encoded on the worker thread holds up nobody else.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from code_cache import DISK, ENCODER, MEMORY, CodeCache
from common import tensors
from common.code_files import CodeFiles, clip_key
from common.errors import AudioTokenizationError, sentence
from common.metrics import CodeSources, Refusals
from common.networks import open_network
from common.state import state_directory


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        settings = tensors.settings(args)
        self._encoder = open_network(tensors.version_directory(args), "encoder", settings)
        self._no_codes = np.zeros((settings["num_codebooks"], 0), np.int32)
        self._codec: str = settings["codes"]["codec"]
        state, max_bytes = state_directory(), settings["codes"]["max_bytes"]
        files = CodeFiles(state / "codes", max_bytes) if state else None
        self._cache = CodeCache(settings["cache_entries"], files, CodeSources((MEMORY, DISK, ENCODER)).count)
        self._worker = ThreadPoolExecutor(max_workers=1)
        self._refusals = Refusals("codec_encoder")

    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            samples = tensors.array(request, "reference_samples")
            sender = request.get_response_sender()
            if samples is None or samples.size == 0:
                self._respond(sender, self._no_codes)
                continue
            key = clip_key(self._codec, samples)
            known = self._cache.remembered([key])
            if known is not None:
                self._respond(sender, known[0])
            else:
                self._worker.submit(self._encode, sender, key, samples.copy())

    def finalize(self) -> None:
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _encode(self, sender: Any, key: str, samples: np.ndarray) -> None:
        try:
            codes = self._cache.codes(key, lambda: self._encoder(samples[None])[0].astype(np.int32))
        except Exception as error:
            self._refuse(sender, AudioTokenizationError(f"the codec could not encode the reference audio: {error}"))
            return
        self._respond(sender, codes)

    def _refuse(self, sender: Any, refusal: AudioTokenizationError) -> None:
        self._refusals.count(refusal)
        response = pb_utils.InferenceResponse(error=pb_utils.TritonError(sentence(refusal)))
        sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _respond(self, sender: Any, codes: np.ndarray) -> None:
        response = pb_utils.InferenceResponse([tensors.tensor("reference_codes", codes, np.int32)])
        sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
