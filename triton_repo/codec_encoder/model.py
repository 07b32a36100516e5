"""Triton model `codec_encoder`: reference audio to codes, each clip once; requests without a clip pass at once.

in:  reference_samples float32 [samples], whole codec frames, possibly none
out: reference_codes int32 [num_codebooks, frames]

Answers through response senders, so that a clip being encoded on the worker thread holds up nobody else.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from common import tensors
from common.errors import AudioTokenizationError, sentence
from common.metrics import Refusals
from common.networks import open_network


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        settings = tensors.settings(args)
        self._encoder = open_network(tensors.version_directory(args), "encoder", settings)
        self._no_codes = np.zeros((settings["num_codebooks"], 0), np.int32)
        self._cache: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self._cache_entries: int = settings["cache_entries"]
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(max_workers=1)
        self._refusals = Refusals("codec_encoder")

    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            samples = tensors.array(request, "reference_samples")
            sender = request.get_response_sender()
            if samples is None or samples.size == 0:
                self._respond(sender, self._no_codes)
                continue
            key = hashlib.sha256(samples.tobytes()).digest()
            codes = self._cached(key)
            if codes is not None:
                self._respond(sender, codes)
            else:
                self._worker.submit(self._encode, sender, key, samples.copy())

    def finalize(self) -> None:
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _cached(self, key: bytes) -> np.ndarray | None:
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
            return self._cache.get(key)

    def _encode(self, sender: Any, key: bytes, samples: np.ndarray) -> None:
        codes = self._cached(key)  # another request may have brought the same clip meanwhile
        if codes is None:
            try:
                codes = self._encoder(samples[None])[0].astype(np.int32)
            except Exception as error:
                self._refuse(sender, AudioTokenizationError(f"the codec could not encode the reference audio: {error}"))
                return
            with self._lock:
                self._cache[key] = codes
                while len(self._cache) > self._cache_entries:
                    self._cache.popitem(last=False)
        self._respond(sender, codes)

    def _refuse(self, sender: Any, refusal: AudioTokenizationError) -> None:
        self._refusals.count(refusal)
        response = pb_utils.InferenceResponse(error=pb_utils.TritonError(sentence(refusal)))
        sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _respond(self, sender: Any, codes: np.ndarray) -> None:
        response = pb_utils.InferenceResponse([tensors.tensor("reference_codes", codes, np.int32)])
        sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
