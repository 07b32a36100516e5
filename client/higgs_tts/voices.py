"""Voice profiles of a server: what one is, and the requests about them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferResult

from .audio import Reference, load_reference
from .errors import InvalidRequestError
from .fleet import Fleet
from .pcm import AudioFile
from .protocol import voices_request

ANSWER_TIMEOUT = 30.0  # seconds; storing a clip waits for the server's disk


@dataclass(frozen=True, eq=False)
class VoiceProfile:
    """A voice on the server: a clip with its words or, with no `audio_path`, a description in the metadata.

    In a list of voices `samples` and `embedding` are None. The embedding, the clip's codes, is also None until somebody
    has spoken in the voice; the samples are also None when the clip was lost and only the embedding is left.
    """

    name: str
    audio_path: str | None  # the clip's file name on the server
    transcript: str  # what the clip says
    embedding: NDArray[np.int32] | None  # [num_codebooks, frames]
    metadata: dict[str, Any]
    seconds: float  # of the clip
    origin: Literal["bundle", "added"]
    samples: NDArray[np.float32] | None  # [n], mono, in [-1, 1]
    sample_rate: int  # Hz

    def save(self, path: str) -> None:
        """Write the clip as an audio file. Raises InvalidRequestError without a clip, OSError, AudioFormatError."""
        if self.samples is None:
            raise InvalidRequestError(f"Voice {self.name} has no audio here; ask the server for the voice itself.")
        with AudioFile(path, self.sample_rate) as file:
            file.write(self.samples)


class VoiceRequests:
    """The part of a client that manages the server's voice profiles. timeout: seconds the server has to answer."""

    _fleet: Fleet

    def voices(self, *, timeout: float = ANSWER_TIMEOUT) -> list[VoiceProfile]:
        """Every voice profile of the server, sorted by name, without audio and codes."""
        answer = self._fleet.ask(voices_request("list"), timeout)
        rate = self._fleet.describe(timeout).sample_rate
        return [_profile(values, rate) for values in _result(answer)["voices"]]

    def voice(self, name: str, *, timeout: float = ANSWER_TIMEOUT) -> VoiceProfile:
        """One voice profile, with its audio and its codes. Raises InvalidRequestError for an unknown one."""
        answer = self._fleet.ask(voices_request("show", name=name), timeout)
        samples = answer.as_numpy("audio").astype(np.float32).reshape(-1)
        codes = answer.as_numpy("embedding").astype(np.int32)
        return _profile(
            _result(answer),
            self._fleet.describe(timeout).sample_rate,
            samples if samples.size else None,
            codes if codes.size else None,
        )

    def add_voice(
        self,
        name: str,
        reference: Reference | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        replace: bool = False,
        timeout: float = ANSWER_TIMEOUT,
    ) -> VoiceProfile:
        """Store a voice on the server under a name, with its clip and transcript, and return it as stored.

        reference: the clip; without one, `metadata["description"]` says how the voice sounds. metadata: JSON; the
        server reads `language`, `gender` and `description`. replace: overwrite an added voice of the same name.
        Raises InvalidRequestError, AudioFormatError, and StateError when the server cannot keep it.
        """
        limits = self._fleet.describe(timeout)
        if reference is not None and not (reference.text or "").strip():
            raise InvalidRequestError(f"Voice {name} needs the words that its clip says.")
        request = voices_request(
            "add",
            name=name,
            audio=load_reference(reference.audio, limits) if reference else None,
            transcript=reference.text if reference else None,
            metadata=json.dumps(metadata, ensure_ascii=False) if metadata else None,
            replace=replace,
        )
        return _profile(_result(self._fleet.ask(request, timeout)), limits.sample_rate)

    def remove_voice(self, name: str, *, timeout: float = ANSWER_TIMEOUT) -> None:
        """Remove an added voice. Raises InvalidRequestError for one of the bundle's and for an unknown one."""
        self._fleet.ask(voices_request("remove", name=name), timeout)


def _result(answer: InferResult) -> Any:
    return json.loads(answer.as_numpy("result").item())


def _profile(
    values: Mapping[str, Any],
    sample_rate: int,
    samples: NDArray[np.float32] | None = None,
    embedding: NDArray[np.int32] | None = None,
) -> VoiceProfile:
    told = {key: values[key] for key in ("name", "audio_path", "transcript", "metadata", "seconds", "origin")}
    return VoiceProfile(**told, embedding=embedding, samples=samples, sample_rate=sample_rate)
