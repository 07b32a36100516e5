"""A voice profile and its file, and what one must be: checked before anything is stored and when it is read.

The file is NAME.profile.json: `transcript`, `audio` (the clip, a float32 WAV beside it, or null), `seconds`, `metadata`
and, if an added voice has a clip, `whole_frames`: the digest of what is encoded of it, by which its codes are found
without the clip (`voices/code_files.py`).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime.formats.errors import InvalidRequestError, quoted
from runtime.formats.file_names import canonical, path_name, text_name
from runtime.formats.pronunciations import check_pronunciations
from runtime.formats.whole_files import read_file

BUNDLE, ADDED = "bundle", "added"
PROFILE_SUFFIX = ".profile.json"
# It was `clip` while zeros filled the last frame: a state folder may hold digests, and codes, of such clips.
_DIGEST_KEY = "whole_frames"
_MAX_SECONDS = 86400.0
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TEXTS = ("language", "gender", "description")  # what other stages read of the metadata


@dataclass(frozen=True, eq=False)
class VoiceProfile:
    """A voice: a clip and its transcript or, without a clip, a description in `metadata["description"]`."""

    name: str
    audio_path: Path | None
    transcript: str  # what the clip says
    metadata: dict[str, Any]
    seconds: float  # of the clip
    origin: str  # BUNDLE or ADDED
    clip: str | None = None  # digest of the clip as `code_files` has it, None: only its file tells
    embedding: np.ndarray | None = None  # its codes, int32 [num_codebooks, frames]; None while nobody encoded it

    @property
    def description(self) -> str:
        """How a voice without a clip sounds, for the scene; empty for a voice with a clip."""
        return "" if self.audio_path else str(self.metadata.get("description", ""))

    def summary(self) -> dict[str, Any]:
        """Everything that JSON can hold; of the path only the file name, since the folder is the server's business."""
        return {
            "name": self.name,
            "origin": self.origin,
            "audio_path": text_name(self.audio_path.name) if self.audio_path else None,
            "seconds": self.seconds,
            "transcript": self.transcript,
            "metadata": self.metadata,
        }

    def content(self) -> bytes:
        """What its file holds."""
        summary = self.summary()
        values = {"transcript": self.transcript, "audio": summary["audio_path"], "seconds": self.seconds}
        values |= {"metadata": self.metadata} | ({_DIGEST_KEY: self.clip} if self.clip else {})
        return json.dumps(values, ensure_ascii=False, indent=2).encode()

    @classmethod
    def read(cls, file: Path, origin: str) -> VoiceProfile:
        """The profile in a file. Raises OSError, InvalidRequestError, KeyError or ValueError when it is none."""
        values = json.loads(read_file(file))
        if not isinstance(values, dict):
            raise InvalidRequestError("it must be a JSON object")
        transcript, audio, seconds = values["transcript"], values["audio"], values["seconds"]
        clip = values.get(_DIGEST_KEY)
        if not isinstance(transcript, str) or isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise InvalidRequestError("transcript must be text, and seconds a number")
        if not 0 <= seconds <= _MAX_SECONDS:  # also refuses NaN
            raise InvalidRequestError(f"seconds must be from 0 to {_MAX_SECONDS}")
        if clip is not None and not (isinstance(clip, str) and _DIGEST.fullmatch(clip)):
            raise InvalidRequestError(f"{_DIGEST_KEY} must be the SHA-256 of a clip's whole frames")
        if audio is not None and (not isinstance(audio, str) or Path(audio).name != audio or audio == ".."):
            raise InvalidRequestError(f"{quoted(audio)} is not the name of a file beside it")
        path = None if audio is None else file.with_name(path_name(audio))
        name, digest = voice_name(file.name), clip if path else None
        return cls(name, path, transcript, values["metadata"], float(seconds), origin, digest)


def voice_name(file_name: str) -> str:
    """Whose profile the file of that name is."""
    return canonical(text_name(file_name).removesuffix(PROFILE_SUFFIX))


@dataclass(frozen=True)
class VoiceRules:
    """The rules for profiles; part of the models' settings. Patterns are regular expressions for the whole name."""

    name_pattern: str
    reserved_names: str
    name_rule: str
    max_transcript_characters: int
    max_description_characters: int
    max_metadata_bytes: int
    max_added: int

    def check(self, profile: VoiceProfile) -> None:
        """Raises InvalidRequestError unless all of a profile is as it must be."""
        self.check_name(profile.name)
        self.check_metadata(profile.metadata)
        if profile.audio_path is None:
            self.check_description(profile.metadata)
        else:
            self.check_transcript(profile.transcript)

    def check_name(self, name: str) -> None:
        """Raises InvalidRequestError for a name that could be a path, is too long, or is reserved."""
        if not re.fullmatch(self.name_pattern, name):
            raise InvalidRequestError(f"voice name {quoted(name)} is not allowed; {self.name_rule}")
        if re.fullmatch(self.reserved_names, name, re.IGNORECASE):
            raise InvalidRequestError(f"voice name {quoted(name)} is reserved; take another one")

    def check_transcript(self, transcript: str) -> None:
        """Raises InvalidRequestError when a transcript is empty, too long or not plain text."""
        check_plain(transcript, "transcript")
        if not any(c.isalnum() for c in transcript):
            raise InvalidRequestError("the transcript is empty; it must be the words that the clip says")
        if len(transcript) > self.max_transcript_characters:
            raise InvalidRequestError(
                f"the transcript has {len(transcript)} characters; at most {self.max_transcript_characters} are allowed"
            )

    def parsed_metadata(self, text: str | None) -> dict[str, Any]:
        """The metadata of a request. Raises InvalidRequestError unless it is a small JSON object."""
        if not text:
            return {}
        if len(text.encode(errors="replace")) > self.max_metadata_bytes:
            raise InvalidRequestError(f"metadata has more than {self.max_metadata_bytes} bytes, which is the limit")
        try:
            metadata = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidRequestError(f"metadata is not valid JSON: {error}") from error
        self.check_metadata(metadata)
        return metadata

    def check_metadata(self, metadata: Any) -> None:
        """Raises InvalidRequestError unless it is an object that JSON can hold, with text where text is read."""
        if not isinstance(metadata, dict):
            raise InvalidRequestError(f"metadata must be a JSON object, not {type(metadata).__name__}")
        try:
            json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError) as error:
            raise InvalidRequestError(f"metadata is not valid JSON: {error}") from error
        for key in _TEXTS:
            if not isinstance(metadata.get(key, ""), str):
                raise InvalidRequestError(f"metadata {quoted(key)} must be text, not {quoted(metadata[key])}")
        check_pronunciations(metadata.get("lexicon", {}), "metadata 'lexicon'")

    def check_description(self, metadata: dict[str, Any]) -> None:
        """Raises InvalidRequestError unless the metadata describes a voice that has no clip."""
        description = str(metadata.get("description", ""))
        check_plain(description, "description")
        if not any(c.isalnum() for c in description):
            raise InvalidRequestError("a voice needs audio, or a description in its metadata")
        if len(description) > self.max_description_characters:
            raise InvalidRequestError(
                f"the description has {len(description)} characters; "
                f"at most {self.max_description_characters} are allowed"
            )


def check_plain(text: str, name: str) -> None:
    """Raises InvalidRequestError for control characters and lone surrogates."""
    unwanted = next((c for c in text if (ord(c) < 32 and c not in "\n\r\t") or 0xD800 <= ord(c) <= 0xDFFF), None)
    if unwanted is not None:
        raise InvalidRequestError(f"{name} holds the character U+{ord(unwanted):04X}; it must be plain text")
