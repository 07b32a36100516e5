"""Voice profiles in a folder of files, in any of three formats that are around:

- `NAME.wav` (or flac, ogg, mp3) with `NAME.txt`, the words it says, and optionally `NAME.json` with metadata;
- `profile.yaml`, as beside Boson's generation script: `profiles: {NAME: description}`, voices without audio;
- `config.json`, as of Boson's vLLM server: `{NAME: {"transcript": …, "audio_file": …}}`, further keys are metadata.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .errors import VoiceFolderError

DESCRIBED, LISTED = "profile.yaml", "config.json"
AUDIO_EXTENSIONS = (".wav", ".flac", ".ogg", ".mp3")


@dataclass(frozen=True)
class VoiceFiles:
    """One profile of a folder. Without `audio` the voice is described in words by `metadata["description"]`."""

    name: str
    audio: Path | None
    transcript: str  # the words the audio says; empty without audio
    metadata: dict[str, Any] = field(default_factory=dict)


def read_voice_folder(folder: Path) -> list[VoiceFiles]:
    """Every profile, by name. Does not decode the audio.

    Raises VoiceFolderError, with the file and what is wrong with it, for a folder that is missing, a file that is
    missing or not what its format says, and a name that appears twice.
    """
    if not folder.is_dir():
        raise VoiceFolderError(f"There is no folder {folder} with voices.")
    found: dict[str, VoiceFiles] = {}
    for voice in [*_pairs(folder), *_described(folder / DESCRIBED), *_listed(folder / LISTED)]:
        if voice.name in found:
            raise VoiceFolderError(f"Voice {voice.name} appears twice in {folder}; each name must appear once.")
        found[voice.name] = voice
    return [found[name] for name in sorted(found)]


def read_metadata(file: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises VoiceFolderError when there is none."""
    try:
        content = json.loads(_text(file))
    except (ValueError, RecursionError) as error:
        raise VoiceFolderError(f"{file} is not valid JSON: {error}.") from None
    if not isinstance(content, dict):
        raise VoiceFolderError(f"{file} must hold a JSON object.")
    return content


def _pairs(folder: Path) -> list[VoiceFiles]:
    listed = {voice.audio for voice in _listed(folder / LISTED)}
    clips = sorted(path for path in folder.iterdir() if path.suffix.lower() in AUDIO_EXTENSIONS and path not in listed)
    return [_pair(clip) for clip in clips]


def _pair(clip: Path) -> VoiceFiles:
    words, details = clip.with_suffix(".txt"), clip.with_suffix(".json")
    transcript = _text(words).strip() if words.is_file() else ""
    if not transcript:
        raise VoiceFolderError(f"voice {clip.stem} has no {words.name} with the words that {clip.name} says.")
    metadata = read_metadata(details) if details.is_file() and details.name != LISTED else {}
    return VoiceFiles(clip.stem, clip, transcript, metadata)


def _described(file: Path) -> list[VoiceFiles]:
    if not file.is_file():
        return []
    try:
        content = yaml.safe_load(_text(file))
    except yaml.YAMLError as error:
        raise VoiceFolderError(f"{file} is not valid YAML: {' '.join(str(error).split())}.") from None
    profiles = content.get("profiles") if isinstance(content, dict) else None
    if not isinstance(profiles, dict):
        raise VoiceFolderError(f"{file} has no mapping `profiles` of names to descriptions.")
    for name, description in profiles.items():
        if not isinstance(name, str) or not isinstance(description, str) or not description.strip():
            raise VoiceFolderError(f"{file}: profile {name!r} must be a name with a description in words.")
    return [VoiceFiles(name, None, "", {"description": words.strip()}) for name, words in profiles.items()]


def _listed(file: Path) -> list[VoiceFiles]:
    if not file.is_file():
        return []
    content = read_metadata(file)
    return [_entry(file, name, entry) for name, entry in content.items()]


def _entry(file: Path, name: str, entry: Any) -> VoiceFiles:
    values = dict(entry) if isinstance(entry, dict) else {}
    transcript, clip = values.pop("transcript", None), values.pop("audio_file", None)
    if not isinstance(transcript, str) or not transcript.strip() or not isinstance(clip, str) or not clip:
        raise VoiceFolderError(f"{file}: voice {name!r} must have a transcript and an audio_file.")
    audio = file.parent / clip
    if not audio.is_file():
        raise VoiceFolderError(f"{file}: voice {name!r} names {clip}, which is not there.")
    return VoiceFiles(name, audio, transcript.strip(), values)


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise VoiceFolderError(f"{file} cannot be read: {error}.") from None
