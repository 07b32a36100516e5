"""Voice profiles in a folder of files, in any of three common formats:

- `NAME.wav` (or flac, ogg, mp3) with `NAME.txt`, the words it says, and optionally `NAME.json` with metadata;
- `profile.yaml`, as with Boson's generation script: `profiles: {NAME: description}`, voices without audio, optionally
  with `NAME.json`;
- `config.json`, as with Boson's vLLM server: `{NAME: {"transcript": …, "audio_file": …}}`, other keys are metadata.

Nothing outside the folder is read, whatever a path or a symbolic link in it says.
"""

import json
import unicodedata
from dataclasses import dataclass, field
from os.path import isdir, isfile  # unlike pathlib's, they return False for a name that no file can have
from pathlib import Path
from typing import Any, NoReturn

import yaml

from ..errors import InvalidRequestError, VoiceFolderError
from .text_file import plain_text

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

    Raises VoiceFolderError, one sentence with the file and its fault, for a folder that is missing, a file that is
    missing, outside the folder or not in its format, and a name that appears twice.
    """
    if not isdir(folder):
        raise _fault(f"There is no folder {folder} with voices.")
    found: dict[str, VoiceFiles] = {}
    listed = _listed(folder / LISTED)
    for voice in [*_pairs(folder, {voice.audio for voice in listed}), *_described(folder / DESCRIBED), *listed]:
        if voice.name in found:
            raise _fault(f"Voice {voice.name} appears twice in {folder}; each name must appear once.")
        found[voice.name] = voice
    return [found[name] for name in sorted(found)]


def read_metadata(file: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises VoiceFolderError when there is none."""
    try:
        content = json.loads(_text(file), parse_constant=_refused_constant)
    except (ValueError, RecursionError) as error:
        raise _fault(f"{file} is not valid JSON: {error}.") from None
    if not isinstance(content, dict):
        raise _fault(f"{file} must hold a JSON object.")
    if not _is_text(json.dumps(content, ensure_ascii=False)):
        raise _fault(f"{file} holds half of a character (a lone surrogate); it must be plain text.")
    return content


def _pairs(folder: Path, listed: set[Path | None]) -> list[VoiceFiles]:
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        raise _fault(f"{folder} cannot be read: {error}.") from None
    clips = [path for path in files if path.suffix.lower() in AUDIO_EXTENSIONS and not isdir(path)]
    return [_pair(clip) for clip in clips if clip not in listed]


def _pair(clip: Path) -> VoiceFiles:
    if not _is_text(clip.name):
        raise _fault(f"{clip} has a name that is not UTF-8; rename it.")
    words = _found(clip.with_suffix(".txt"))
    if not _is_there(clip):
        raise _fault(f"{clip} is a link to nothing.")
    transcript = _text(words).strip() if _is_there(words) else ""
    if not transcript:
        raise _fault(f"voice {clip.stem} has no {words.name} with the words that {clip.name} says.")
    return VoiceFiles(_canonical(clip.stem), clip, transcript, _details(clip.parent, clip.stem))


def _described(file: Path) -> list[VoiceFiles]:
    if not _is_there(file):
        return []
    text = _text(file)
    try:
        content = yaml.safe_load(text)
    except Exception as error:  # besides YAMLError, whatever the constructors of numbers and dates raise
        raise _fault(f"{file} is not valid YAML: {error}.") from None
    profiles = content.get("profiles") if isinstance(content, dict) else None
    if not isinstance(profiles, dict):
        raise _fault(f"{file} has no mapping `profiles` of names to descriptions.")
    for name, description in profiles.items():
        words = (name, description)
        if not all(isinstance(word, str) and word.strip() and _is_text(word) for word in words):
            raise _fault(f"{file}: profile {name!r} must be a name with a description in words.")
    return [
        VoiceFiles(_canonical(name), None, "", {**_details(file.parent, name), "description": words.strip()})
        for name, words in profiles.items()
    ]


def _details(folder: Path, name: str) -> dict[str, Any]:
    """The metadata of a voice, where the folder has any."""
    details = _found(folder / f"{name}.json")
    inside = Path(name).name == name and details.name != LISTED
    return read_metadata(details) if inside and _is_there(details) else {}


def _listed(file: Path) -> list[VoiceFiles]:
    if not _is_there(file):
        return []
    content = read_metadata(file)
    return [_entry(file, name, entry) for name, entry in content.items()]


def _entry(file: Path, name: str, entry: Any) -> VoiceFiles:
    values = dict(entry) if isinstance(entry, dict) else {}
    transcript, clip = values.pop("transcript", None), values.pop("audio_file", None)
    if not isinstance(transcript, str) or not transcript.strip() or not isinstance(clip, str) or not clip:
        raise _fault(f"{file}: voice {name!r} must have a transcript and an audio_file.")
    audio = _found(file.parent / clip)
    if not _is_inside(audio, file.parent):
        raise _fault(f"{file}: voice {name!r} names {clip!r}, which is outside the folder.")
    if not isfile(audio):
        raise _fault(f"{file}: voice {name!r} names {clip!r}, which is not there.")
    return VoiceFiles(_canonical(name), audio, transcript.strip(), values)


def _canonical(name: str) -> str:
    """The name in NFC: an accented letter can be one character or a letter plus a combining mark; this picks one."""
    return unicodedata.normalize("NFC", name)


def _found(file: Path) -> Path:
    """The file, or the one beside it whose name differs only in Unicode normalization, as some archives change it."""
    if isfile(file) or not isdir(file.parent):
        return file
    alike = (path for path in file.parent.iterdir() if _canonical(path.name) == _canonical(file.name))
    return next(alike, file)


def _text(file: Path) -> str:
    """A file's words."""
    try:
        return plain_text(file.read_bytes(), str(file))
    except OSError as error:
        raise _fault(f"{file} cannot be read: {error}.") from None
    except InvalidRequestError as error:
        raise _fault(str(error)) from None


def _is_there(file: Path) -> bool:
    """Whether the folder has that file. Raises VoiceFolderError for a link that leads out of it."""
    if not isfile(file):
        return False
    if not _is_inside(file, file.parent):
        raise _fault(f"{file} is a link to a file outside its folder, which is not read.")
    return True


def _is_inside(path: Path, folder: Path) -> bool:
    """Whether a path, its links followed, stays in the folder."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # a link to itself, a character that no path can have
        return False


def _is_text(value: str) -> bool:
    """Whether it can be sent: JSON, YAML and file names can hold lone surrogates, UTF-8 cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refused_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _fault(sentence: str) -> VoiceFolderError:
    """The error, its message on one line whatever names it contains."""
    return VoiceFolderError(" ".join(sentence.encode(errors="backslashreplace").decode().split()))
