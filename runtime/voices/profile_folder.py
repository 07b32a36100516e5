"""Voice profiles as plain files of one folder: NAME.profile.json, and the clip that it names as a float32 WAV.

The JSON holds `transcript`, `audio` (a file beside it, or null), `seconds`, `metadata` and, if an added voice has a
clip, `whole_frames`: the digest of the part that is encoded, which finds the codes without the clip
(`code_files.py`). It is written last and atomically, so a profile is either complete or absent; a clip that no profile
names was left by a killed writer. Writers in any process take turns; readers do not wait for them. Nothing outside the
folder is read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from runtime.formats.errors import InvalidRequestError
from runtime.formats.file_names import canonical, path_name, text_name
from runtime.formats.voice_profile import VoiceProfile, VoiceRules
from runtime.formats.whole_files import locked, whole_file

_SUFFIX = ".profile.json"
_LOCK = ".lock"
# It was `clip` when the last frame was still padded with zeros: a state folder may hold digests and codes of those.
_DIGEST_KEY = "whole_frames"
_MAX_SECONDS = 86400.0
_CLIP = re.compile(r"(?P<voice>.+)-[0-9a-f]{16}\.wav")
_DIGEST = re.compile(r"[0-9a-f]{64}")
# Two changes within one tick of the file system's clock look like one: a folder that changed just now is read again.
_SETTLED_NANOSECONDS = 2 * 10**9

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class NewClip:
    """A clip to store: float32 [samples], their rate in Hz, and its digest as in `code_files`."""

    samples: np.ndarray
    sample_rate: int
    digest: str


@dataclass(frozen=True)
class _Seen:
    """A profile's file as it was when read; `profile` is None when it could not be read."""

    stamp: tuple[int, int, int]
    profile: VoiceProfile | None


class ProfileFolder:
    """The profiles of a folder, which may be missing. Reading looks at the disk only when the folder changed.

    Args:
        origin: of its profiles: BUNDLE or ADDED.
        rules: the rules for profiles, including those put there by hand.
    """

    def __init__(self, directory: Path, origin: str, rules: VoiceRules) -> None:
        self._directory, self._origin, self._rules = directory, origin, rules
        self._seen: dict[str, _Seen] = {}
        self._changed_at: int | None = None  # the folder's time when it was last read, None: read it again

    def profiles(self) -> dict[str, VoiceProfile]:
        """By name, as they are now. Skips a file that is not a profile, and logs why."""
        try:
            changed_at = self._directory.stat().st_mtime_ns
        except OSError:
            return {}
        if changed_at != self._changed_at:
            self._seen = dict(self._scan())
            settled = time.time_ns() - changed_at > _SETTLED_NANOSECONDS
            self._changed_at = changed_at if settled else None
        return {name: seen.profile for name, seen in sorted(self._seen.items()) if seen.profile is not None}

    def write(
        self, name: str, clip: NewClip | None, transcript: str, metadata: dict[str, Any], replace: bool
    ) -> VoiceProfile:
        """Store a profile; without a clip it is a voice described in words.

        Raises FileExistsError if it exists and may not be replaced, and OSError when it cannot be written; the folder
        is then as before.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        with locked(self._directory / _LOCK):
            file, there = self._directory / path_name(f"{name}{_SUFFIX}"), self._files_of(name)
            if there and not replace:
                raise FileExistsError(name)
            values: dict[str, Any] = {"transcript": transcript, "audio": None, "seconds": 0.0, "metadata": metadata}
            if clip is not None:
                seconds = len(clip.samples) / clip.sample_rate
                values |= {"audio": self._write_clip(name, clip), "seconds": seconds, _DIGEST_KEY: clip.digest}
            content = json.dumps(values, ensure_ascii=False, indent=2).encode()
            with whole_file(file) as stream:
                stream.write(content)
            for other in there - {file}:
                other.unlink()
            self._sweep()
        self._changed_at = None
        return _profile(file, values, self._origin, self._rules)

    def delete(self, name: str) -> bool:
        """Remove a profile and its clip; False when there is none. Raises OSError when it cannot be removed."""
        if not self._directory.is_dir():
            return False
        with locked(self._directory / _LOCK):
            there = self._files_of(name)
            for file in there:
                file.unlink()
            self._sweep()
        self._changed_at = None
        return bool(there)

    def sweep(self) -> None:
        """Remove what a killed writer left, if the folder exists and is writable."""
        with suppress(OSError):
            if self._directory.is_dir():
                with locked(self._directory / _LOCK):
                    self._sweep()

    def _scan(self) -> Iterator[tuple[str, _Seen]]:
        try:
            entries = list(os.scandir(self._directory))
        except OSError:
            return
        # Of two Unicode forms of one name the later one counts; it is the form written here.
        for entry in sorted(entries, key=lambda entry: canonical(text_name(entry.name)) == text_name(entry.name)):
            if not entry.name.endswith(_SUFFIX) or entry.name.startswith("."):
                continue
            name = _voice(entry.name)
            try:
                status = entry.stat()
            except OSError:  # removed meanwhile
                continue
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            seen = self._seen.get(name)
            if seen is None or seen.stamp != stamp:
                seen = _Seen(stamp, _read(Path(entry.path), self._origin, self._rules))
            yield name, seen

    def _files_of(self, name: str) -> set[Path]:
        """The profile's files: one, or several if somebody added other Unicode forms of its name."""
        profiles = (path for path in self._directory.iterdir() if path.name.endswith(_SUFFIX))
        return {path for path in profiles if _voice(path.name) == name}

    def _write_clip(self, name: str, clip: NewClip) -> str:
        """Returns the file's name, which identifies its content: a name a reader holds never leads to another clip."""
        audio = f"{name}-{hashlib.sha256(clip.samples.tobytes()).hexdigest()[:16]}.wav"
        form = {"samplerate": clip.sample_rate, "subtype": "FLOAT", "format": "WAV"}
        with whole_file(self._directory / path_name(audio)) as stream:
            soundfile.write(stream, clip.samples, **form)
        return audio

    def _sweep(self) -> None:
        """Call with the lock: then any half-written file, and any clip that its profile does not name, is left over."""
        for path in list(self._directory.iterdir()):
            half_written = path.name.startswith(".") and path.name != _LOCK
            clip = _CLIP.fullmatch(path.name)  # other files were put there by hand
            if half_written or (clip and not self._is_named(path, clip["voice"])):
                with suppress(OSError):
                    path.unlink()

    def _is_named(self, clip: Path, voice: str) -> bool:
        file = clip.with_name(voice + _SUFFIX)
        try:
            return bool(json.loads(file.read_bytes())["audio"] == text_name(clip.name))
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return True  # a profile that cannot be read may still be repaired by hand


def _read(file: Path, origin: str, rules: VoiceRules) -> VoiceProfile | None:
    try:
        _check_inside(file)
        profile = _profile(file, json.loads(file.read_bytes()), origin, rules)
    except (OSError, ValueError, KeyError, RecursionError, InvalidRequestError) as error:
        logger.warning("%r is not a voice profile and is skipped: %r", str(file), error)
        return None
    if profile.clip is None and profile.audio_path is not None and not os.path.isfile(profile.audio_path):
        logger.warning("%r is skipped: its clip %r is missing", str(file), profile.audio_path.name)
        return None
    return profile


def _profile(file: Path, values: Any, origin: str, rules: VoiceRules) -> VoiceProfile:
    """Raises InvalidRequestError, KeyError or ValueError for values that are not a profile."""
    if not isinstance(values, dict):
        raise InvalidRequestError("it must be a JSON object")
    name, transcript, metadata = _voice(file.name), values["transcript"], values["metadata"]
    audio, clip, seconds = values["audio"], values.get(_DIGEST_KEY), values["seconds"]
    rules.check_name(name)
    rules.check_metadata(metadata)
    if not isinstance(transcript, str) or isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise InvalidRequestError("transcript must be text, and seconds a number")
    if not 0 <= seconds <= _MAX_SECONDS:  # also refuses NaN
        raise InvalidRequestError(f"seconds must be from 0 to {_MAX_SECONDS}")
    if clip is not None and not (isinstance(clip, str) and _DIGEST.fullmatch(clip)):
        raise InvalidRequestError(f"{_DIGEST_KEY} must be the SHA-256 of a clip's whole frames")
    if audio is None:
        rules.check_description(metadata)
    else:
        if not isinstance(audio, str) or Path(audio).name != audio or audio == "..":
            raise InvalidRequestError(f"{audio!r} is not the name of a file beside it")
        rules.check_transcript(transcript)
        _check_inside(file.with_name(path_name(audio)))
    return VoiceProfile(
        name=name,
        audio_path=None if audio is None else file.with_name(path_name(audio)),
        transcript=transcript,
        embedding=None,
        metadata=metadata,
        seconds=float(seconds),
        origin=origin,
        clip=None if audio is None else clip,
    )


def _voice(file_name: str) -> str:
    """The voice whose profile is in the file of that name."""
    return canonical(text_name(file_name).removesuffix(_SUFFIX))


def _check_inside(file: Path) -> None:
    """Raises InvalidRequestError for a link that leads out of its folder, or in a loop."""
    try:
        inside = file.resolve().is_relative_to(file.parent.resolve())
    except RuntimeError:
        inside = False
    if not inside:
        raise InvalidRequestError(f"{file.name} leads out of the folder")
