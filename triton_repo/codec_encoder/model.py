"""Triton model `codec_encoder`: reference audio to codes, each clip once; requests without a clip pass at once.

in:  reference_samples float32 [samples], the clips one after another, each whole codec frames;
     reference_lengths int32 [clips], their samples
out: reference_codes int32 [num_codebooks, frames], reference_frames int32 [clips]

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
from common.errors import AudioTokenizationError, InvalidRequestError, RequestError, sentence
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
            sender = request.get_response_sender()
            try:
                clips = _clips(tensors.array(request, "reference_samples"), tensors.array(request, "reference_lengths"))
            except InvalidRequestError as refusal:
                self._refuse(sender, refusal)
                continue
            codes = [self._cached(_key(clip)) for clip in clips]
            if all(known is not None for known in codes):
                self._respond(sender, codes)
            else:
                # Copies: the tensors' memory is Triton's, and goes back to it with this call.
                self._worker.submit(self._encode_all, sender, [clip.copy() for clip in clips])

    def finalize(self) -> None:
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _cached(self, key: bytes) -> np.ndarray | None:
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
            return self._cache.get(key)

    def _encode_all(self, sender: Any, clips: list[np.ndarray]) -> None:
        try:
            codes = [self._encode(clip) for clip in clips]
        except Exception as error:
            self._refuse(sender, AudioTokenizationError(f"the codec could not encode the reference audio: {error}"))
            return
        self._respond(sender, codes)

    def _encode(self, clip: np.ndarray) -> np.ndarray:
        codes = self._cached(_key(clip))  # another request may have brought the same clip meanwhile
        if codes is None:
            codes = self._encoder(clip[None])[0].astype(np.int32)
            with self._lock:
                self._cache[_key(clip)] = codes
                while len(self._cache) > self._cache_entries:
                    self._cache.popitem(last=False)
        return codes

    def _refuse(self, sender: Any, refusal: RequestError) -> None:
        self._refusals.count(refusal)
        response = pb_utils.InferenceResponse(error=pb_utils.TritonError(sentence(refusal)))
        sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _respond(self, sender: Any, codes: list[np.ndarray]) -> None:
        joined = np.concatenate([self._no_codes, *codes], axis=1)
        response = pb_utils.InferenceResponse(
            [
                tensors.tensor("reference_codes", joined, np.int32),
                tensors.tensor("reference_frames", [clip.shape[1] for clip in codes], np.int32),
            ]
        )
        sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def _clips(samples: np.ndarray | None, lengths: np.ndarray | None) -> list[np.ndarray]:
    """The clips, float32 [samples] each. Raises InvalidRequestError when the lengths are not theirs."""
    if samples is None or lengths is None or (lengths < 1).any() or lengths.sum() != samples.size:
        raise InvalidRequestError("reference_lengths must be 1 or more samples a clip and add up to reference_samples")
    return np.split(samples, np.cumsum(lengths)[:-1]) if len(lengths) else []


def _key(clip: np.ndarray) -> bytes:
    return hashlib.sha256(clip.tobytes()).digest()
