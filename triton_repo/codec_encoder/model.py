"""Triton model `codec_encoder`: reference audio to codes, each clip once; requests without a clip pass at once.

in:  reference_samples float32 [samples], the clips one after another, each whole codec frames;
     reference_lengths int32 [clips], their samples
out: reference_codes int32 [num_codebooks, frames], reference_frames int32 [clips]

Answers through response senders, so that a clip being encoded on the worker thread holds up nobody else.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from code_cache import DISK, ENCODER, MEMORY, CodeCache
from common import tensors
from common.code_files import CodeFiles, clip_key
from common.errors import AudioTokenizationError, InvalidRequestError, RequestError, sentence
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
            sender = request.get_response_sender()
            try:
                clips = _clips(tensors.array(request, "reference_samples"), tensors.array(request, "reference_lengths"))
            except InvalidRequestError as refusal:
                self._refuse(sender, refusal)
                continue
            keys = [clip_key(self._codec, clip) for clip in clips]
            codes = self._cache.remembered(keys)
            if codes is not None:
                self._respond(sender, codes)
            else:
                # Copies: the tensors' memory is Triton's, and goes back to it with this call.
                self._worker.submit(self._encode_all, sender, keys, [clip.copy() for clip in clips])

    def finalize(self) -> None:
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _encode_all(self, sender: Any, keys: list[str], clips: list[np.ndarray]) -> None:
        try:
            codes = [self._cache.codes(key, partial(self._encode, clip)) for key, clip in zip(keys, clips, strict=True)]
        except Exception as error:
            self._refuse(sender, AudioTokenizationError(f"the codec could not encode the reference audio: {error}"))
            return
        self._respond(sender, codes)

    def _encode(self, clip: np.ndarray) -> np.ndarray:
        return self._encoder(clip[None])[0].astype(np.int32)

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
