"""Triton model `codec_encoder`: encodes each reference clip once; clips with known codes pass straight through.

in:  reference_samples float32 [samples], the clips to encode, concatenated, each a whole number of codec frames;
     reference_lengths int32 [clips], samples per clip; known_codes? int32 [num_codebooks, frames], the codes of the
     other clips; known_frames? int32 [clips], frames per clip. For each clip, either the samples or the frames are 0.
out: reference_codes int32 [num_codebooks, frames], reference_frames int32 [clips]

Answers through response senders, so that encoding a clip on the worker thread does not hold up other requests.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from runtime.codec.clip_tensors import Clips, read_clips
from runtime.codec.code_cache import DISK, ENCODER, MEMORY, CodeCache
from runtime.codec.networks import open_network
from runtime.formats.errors import (
    AudioTokenizationError,
    InvalidRequestError,
    MemoryExhaustionError,
    RequestError,
    is_out_of_memory,
)
from runtime.triton import tensors
from runtime.triton.beat import Work, beat
from runtime.triton.metrics import CodeSources, Refusals
from runtime.voices.code_files import CodeFiles, clip_digest, codes_key
from runtime.voices.state import state_directory

PROFILE = "profile"  # a source of codes besides the cache: the voice profile brought them


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        settings = tensors.settings(args)
        self._encoder = open_network(tensors.version_directory(args), "encoder", settings)
        self._num_codebooks: int = settings["num_codebooks"]
        self._max_clip_samples: int = settings["max_clip_frames"] * settings["hop_length"]
        self._max_samples: int = settings["max_frames"] * settings["hop_length"]
        self._codec: str = settings["codes"]["codec"]
        state, max_bytes = state_directory(), settings["codes"]["max_bytes"]
        files = CodeFiles(state / "codes", max_bytes) if state else None
        self._count = CodeSources((PROFILE, MEMORY, DISK, ENCODER)).count
        self._cache = CodeCache(settings["cache_entries"], files, self._count)
        self._worker = ThreadPoolExecutor(max_workers=1)
        self._refusals = Refusals("codec_encoder")
        self._work = Work()
        beat("codec_encoder", self._work.last_progress)

    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            sender = request.get_response_sender()
            try:
                clips = self._read(request)
            except InvalidRequestError as refusal:
                self._refuse(sender, refusal)
                continue
            for _ in range(clips.num_known):
                self._count(PROFILE)
            keys = [codes_key(self._codec, clip_digest(samples)) for samples in clips.samples]
            codes = self._cache.remembered(keys)
            if codes is not None:
                self._respond(sender, clips.with_codes(codes))
            else:
                self._work.begin()
                work = self._worker.submit(self._encode_all, sender, keys, clips)
                work.add_done_callback(lambda done: self._work.end())

    def finalize(self) -> None:
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _read(self, request: Any) -> Clips:
        samples, lengths, codes, frames = (
            tensors.array(request, name)
            for name in ("reference_samples", "reference_lengths", "known_codes", "known_frames")
        )
        clips = read_clips(samples, lengths, codes, frames, self._num_codebooks)
        longest, total = max(map(len, clips.samples), default=0), sum(map(len, clips.samples))
        if longest > self._max_clip_samples or total > self._max_samples:
            raise InvalidRequestError(
                f"clips to encode have at most {self._max_clip_samples} samples, and together {self._max_samples}, "
                f"not {longest} and {total}"
            )
        return clips

    def _encode_all(self, sender: Any, keys: list[str], clips: Clips) -> None:
        try:
            codes = [
                self._cache.codes(key, partial(self._encode, samples))
                for key, samples in zip(keys, clips.samples, strict=True)
            ]
        except Exception as error:
            kind = MemoryExhaustionError if is_out_of_memory(error) else AudioTokenizationError
            self._refuse(sender, kind(f"the codec could not encode the reference audio: {error}"))
            return
        self._respond(sender, clips.with_codes(codes))

    def _encode(self, clip: np.ndarray) -> np.ndarray:
        return self._encoder(clip[None])[0].astype(np.int32)

    def _refuse(self, sender: Any, refusal: RequestError) -> None:
        self._refusals.count(refusal)
        tensors.refuse(sender, refusal)

    def _respond(self, sender: Any, codes: list[np.ndarray]) -> None:
        joined = np.concatenate([np.zeros((self._num_codebooks, 0), np.int32), *codes], axis=1)
        response = pb_utils.InferenceResponse(
            [
                tensors.tensor("reference_codes", joined, np.int32),
                tensors.tensor("reference_frames", [clip.shape[1] for clip in codes], np.int32),
            ]
        )
        sender.send(response, flags=tensors.FINAL)
