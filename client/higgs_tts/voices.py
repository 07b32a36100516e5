"""Voice profiles of a server: what one is, and the requests about them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferResult

from .audio import Reference, load_reference
from .connection import Connection
from .errors import InvalidRequestError
from .pcm import AudioFile
from .protocol import voices_request

ANSWER_TIMEOUT = 30.0  # seconds; storing a clip waits for the server's disk


@dataclass(frozen=True, eq=False)
class VoiceProfile:
    """A voice on the server: a clip with its words or, with no `audio_path`, a description in the metadata.

    What a list of voices leaves out is None: `samples` and `embedding`. The embedding, the clip's codes, is also
    None as long as nobody has spoken in the voice; the samples are, where the clip was lost and the embedding is left.
    """

    name: str
    audio_path: str | None  # the clip's file name on the server
    transcript: str  # what the clip says
    embedding: NDArray[np.int32] | None  # [num_codebooks, frames]
    metadata: dict[str, Any]
    seconds: float  # of the clip
    origin: str  # bundle | added
    samples: NDArray[np.float32] | None  # [n], mono, in [-1, 1]
    sample_rate: int  # Hz

    def save(self, path: str) -> None:
        """Write the clip as an audio file. Raises InvalidRequestError when there is none, OSError, AudioFormatError."""
        if self.samples is None:
            raise InvalidRequestError(f"Voice {self.name} has no audio here; ask the server for the voice itself.")
        with AudioFile(path, self.sample_rate) as file:
            file.write(self.samples)


def list_voices(connection: Connection) -> list[VoiceProfile]:
    """Every voice of the server, by name."""
    answer = connection.ask(voices_request("list"), ANSWER_TIMEOUT)
    rate = connection.describe().sample_rate
    return [_profile(values, rate) for values in _result(answer)["voices"]]


def show_voice(connection: Connection, name: str) -> VoiceProfile:
    """One voice with its clip and, if the server has encoded it, its codes. Raises InvalidRequestError."""
    answer = connection.ask(voices_request("show", name=name), ANSWER_TIMEOUT)
    samples = answer.as_numpy("audio").astype(np.float32).reshape(-1)
    codes = answer.as_numpy("embedding").astype(np.int32)
    return _profile(
        _result(answer),
        connection.describe().sample_rate,
        samples if samples.size else None,
        codes if codes.size else None,
    )


def add_voice(
    connection: Connection,
    name: str,
    reference: Reference | None,
    metadata: Mapping[str, Any] | None,
    replace: bool,
) -> VoiceProfile:
    """Have the server keep a voice; see `HiggsClient.add_voice`."""
    info = connection.describe()
    if reference is not None and not (reference.text or "").strip():
        raise InvalidRequestError(f"Voice {name} needs the words that its clip says.")
    request = voices_request(
        "add",
        name=name,
        audio=load_reference(reference.audio, info.reference) if reference else None,
        transcript=reference.text if reference else None,
        metadata=metadata,
        replace=replace,
    )
    return _profile(_result(connection.ask(request, ANSWER_TIMEOUT)), info.sample_rate)


def remove_voice(connection: Connection, name: str) -> None:
    """Remove an added voice. Raises InvalidRequestError for any other."""
    connection.ask(voices_request("remove", name=name), ANSWER_TIMEOUT)


def _result(answer: InferResult) -> Any:
    return json.loads(answer.as_numpy("result").item())


def _profile(
    values: Mapping[str, Any],
    sample_rate: int,
    samples: NDArray[np.float32] | None = None,
    embedding: NDArray[np.int32] | None = None,
) -> VoiceProfile:
    return VoiceProfile(
        name=values["name"],
        audio_path=values["audio_path"],
        transcript=values["transcript"],
        embedding=embedding,
        metadata=values["metadata"],
        seconds=values["seconds"],
        origin=values["origin"],
        samples=samples,
        sample_rate=sample_rate,
    )
