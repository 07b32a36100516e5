"""Triton model `codec_encoder`: encodes each reference clip once; clips with known codes pass straight through.

in:  reference_samples float32 [samples], the clips to encode, concatenated, each a whole number of codec frames;
     reference_lengths int32 [clips], samples per clip; known_codes? int32 [num_codebooks, frames], the codes of the
     other clips; known_frames? int32 [clips], frames per clip. For each clip, either the samples or the frames are 0;
     deadline? float64 [1], after which the answer is an error, on the machine's clock; clips_signature: of `prompt`
     over all of them (`formats/signing.py`)
out: reference_codes int32 [num_codebooks, frames], reference_frames int32 [clips], codes_signature over both

Answers through response senders, so that encoding a clip on the worker thread does not hold up other requests.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from runtime.codec.clip_queue import ClipQueue
from runtime.codec.clip_tensors import Clips, read_clips
from runtime.codec.code_cache import DISK, ENCODER, MEMORY, CodeCache
from runtime.codec.networks import open_network
from runtime.formats.errors import (
    AudioTokenizationError,
    InvalidRequestError,
    MemoryExhaustionError,
    RequestError,
    classify,
    is_out_of_memory,
)
from runtime.triton import tensors
from runtime.triton.beat import Work, beat
from runtime.triton.farewell import end_if_lost
from runtime.triton.metrics import CodeSources, Refusals
from runtime.triton.notes import Note, NoteReceiver, NoteSender
from runtime.triton.threads import CODEC_VARIABLE, threads
from runtime.voices.code_files import CodeFiles, clip_digest, codes_key
from runtime.voices.state import state_directory

PROFILE = "profile"  # a source of codes besides the cache: the voice profile brought them


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        settings = tensors.settings(args)
        settings["threads"] = threads(CODEC_VARIABLE, settings["threads"])
        self._encoder = open_network(tensors.version_directory(args), "encoder", settings)
        self._num_codebooks: int = settings["num_codebooks"]
        self._hop_length: int = settings["hop_length"]
        self._max_clip_samples: int = settings["max_clip_frames"] * settings["hop_length"]
        self._max_frames: int = settings["max_frames"]
        self._max_samples: int = self._max_frames * settings["hop_length"]
        self._codec: str = settings["codes"]["codec"]
        state, max_bytes = state_directory(), settings["codes"]["max_bytes"]
        files = CodeFiles(state / "codes", max_bytes) if state else None
        self._count = CodeSources((PROFILE, MEMORY, DISK, ENCODER)).count
        self._cache = CodeCache(settings["cache_entries"], files, self._count)
        self._queue = ClipQueue()
        self._notes = NoteReceiver("codec_encoder", lambda note: self._queue.give_up(note.stream))
        self._prompt = NoteSender("prompt")
        self._refusals = Refusals("codec_encoder")
        self._seal = tensors.seal(args)
        self._work = Work()
        beat("codec_encoder", self._work.last_progress)

    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            sender = request.get_response_sender()
            try:
                clips, deadline = self._read(request)
            except Exception as error:
                self._refuse(sender, request.request_id(), classify(error, "reading the clips"))
                continue
            for _ in range(clips.num_known):
                self._count(PROFILE)
            keys = [codes_key(self._codec, clip_digest(samples)) for samples in clips.samples]
            codes = self._cache.remembered(keys)
            if codes is not None:
                self._respond(sender, request.request_id(), clips.with_codes(codes))
            else:
                self._work.begin()
                self._queue.put(
                    request.request_id(),
                    deadline,
                    encode=[
                        partial(self._codes, key, samples) for key, samples in zip(keys, clips.samples, strict=True)
                    ],
                    answer=partial(self._answered, sender, request.request_id(), clips),
                    has_left=sender.is_cancelled,
                )

    def finalize(self) -> None:
        self._notes.close()
        self._queue.close()

    def _read(self, request: Any) -> tuple[Clips, float]:
        samples = tensors.array(request, "reference_samples")
        lengths = tensors.array(request, "reference_lengths", self._max_frames)
        frames = tensors.array(request, "known_frames", self._max_frames)
        codes = tensors.array(request, "known_codes", self._num_codebooks * self._max_frames)
        longest = 0 if lengths is None else int(lengths.max(initial=0))
        total = 0 if samples is None else samples.size
        if longest > self._max_clip_samples or total > self._max_samples:
            raise InvalidRequestError(
                f"clips to encode have at most {self._max_clip_samples} samples, and together {self._max_samples}, "
                f"not {longest} and {total}"
            )
        deadline = tensors.array(request, "deadline", 1)
        signed = [value for value in (samples, lengths, codes, frames, deadline) if value is not None]
        self._seal.opened("clips", tensors.text(request, "clips_signature"), request.request_id(), *signed)
        clips = read_clips(samples, lengths, codes, frames, self._num_codebooks)
        return clips, float(deadline[0]) if deadline is not None and deadline.size else math.inf

    def _codes(self, key: str, samples: np.ndarray) -> np.ndarray:
        return self._cache.codes(key, partial(self._encode, samples))

    def _answered(
        self, sender: Any, request_id: str, clips: Clips, outcome: list[np.ndarray] | Exception | None
    ) -> None:
        try:
            self._answer(sender, request_id, clips, outcome)
        finally:
            self._work.end()

    def _answer(self, sender: Any, request_id: str, clips: Clips, outcome: list[np.ndarray] | Exception | None) -> None:
        """Answer with codes, or why there are none; for None, whose client has left, with what nobody will hear.

        An error would leave the request of a vanished client in Triton for ever.
        """
        if isinstance(outcome, RequestError):
            self._refuse(sender, request_id, outcome)
        elif isinstance(outcome, Exception):
            end_if_lost("codec_encoder", outcome)
            kind = MemoryExhaustionError if is_out_of_memory(outcome) else AudioTokenizationError
            self._refuse(sender, request_id, kind(f"the codec could not encode the reference audio: {outcome}"))
        else:
            codes = outcome or [self._nothing(samples) for samples in clips.samples]
            self._respond(sender, request_id, clips.with_codes(codes))

    def _nothing(self, samples: np.ndarray) -> np.ndarray:
        return np.zeros((self._num_codebooks, len(samples) // self._hop_length), np.int32)

    def _encode(self, clip: np.ndarray) -> np.ndarray:
        return self._encoder(clip[None])[0].astype(np.int32)

    def _refuse(self, sender: Any, request_id: str, refusal: RequestError) -> None:
        self._refusals.count(refusal)
        self._prompt.send(Note(request_id, gone=True))
        tensors.refuse(sender, refusal)

    def _respond(self, sender: Any, request_id: str, codes: list[np.ndarray]) -> None:
        joined = np.concatenate([np.zeros((self._num_codebooks, 0), np.int32), *codes], axis=1)
        answer = [
            tensors.tensor("reference_codes", joined, np.int32),
            tensors.tensor("reference_frames", [clip.shape[1] for clip in codes], np.int32),
        ]
        signature = self._seal.sealed("codes", "", request_id, *(one.as_numpy() for one in answer))
        response = pb_utils.InferenceResponse([*answer, tensors.string_tensor("codes_signature", signature)])
        tensors.send(sender, response)
