"""Voice profiles as plain files of one folder, as `formats/voice_profile.py` describes them.

A profile's file is written last and in one piece, so a profile is there whole or not at all; a clip that no profile
names is what a killed writer left. Writers, of any process, take turns; readers need not wait for them. Nothing outside
the folder is read.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from runtime.formats.errors import InvalidRequestError
from runtime.formats.file_names import canonical, path_name, text_name
from runtime.formats.voice_profile import PROFILE_SUFFIX, VoiceProfile, VoiceRules, voice_name
from runtime.formats.whole_files import locked, read_file, whole_file

_LOCK = ".lock"
_LOCK_SECONDS = 5.0  # many times what a writer takes; whoever holds it longer is stuck
_CLIP = re.compile(r"(?P<voice>.+)-[0-9a-f]{16}\.wav")
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
        self, name: str, clip: NewClip | None, transcript: str, metadata: dict[str, Any], replacing: bool
    ) -> VoiceProfile:
        """Store a profile; without a clip it is a voice described in words.

        Raises FileExistsError if it exists and may not be replaced, and OSError when it cannot be written; the folder
        is then as before.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        with locked(self._directory / _LOCK, wait=_LOCK_SECONDS):
            file, there = self._directory / path_name(f"{name}{PROFILE_SUFFIX}"), self._files_of(name)
            if there and not replacing:
                raise FileExistsError(name)
            profile = VoiceProfile(name, None, transcript, metadata, 0.0, self._origin)
            if clip is not None:
                path, seconds = self._write_clip(name, clip), len(clip.samples) / clip.sample_rate
                profile = replace(profile, audio_path=path, seconds=seconds, clip=clip.digest)
            with whole_file(file) as stream:
                stream.write(profile.content())
            for other in there - {file}:
                other.unlink()
            self._sweep()
        self._changed_at = None
        return profile

    def delete(self, name: str) -> bool:
        """Remove a profile and its clip; False when there is none. Raises OSError when it cannot be removed."""
        if not self._directory.is_dir():
            return False
        with locked(self._directory / _LOCK, wait=_LOCK_SECONDS):
            there = self._files_of(name)
            for file in there:
                file.unlink()
            self._sweep()
        self._changed_at = None
        return bool(there)

    def sweep(self) -> None:
        """Remove what a killed writer left, if the folder exists, is writable and nobody writes to it now."""
        with suppress(OSError):
            if self._directory.is_dir():
                with locked(self._directory / _LOCK, wait=0):
                    self._sweep()

    def _scan(self) -> Iterator[tuple[str, _Seen]]:
        try:
            entries = list(os.scandir(self._directory))
        except OSError:
            return
        # Of two Unicode forms of one name the later one counts; it is the form written here.
        for entry in sorted(entries, key=lambda entry: canonical(text_name(entry.name)) == text_name(entry.name)):
            if not entry.name.endswith(PROFILE_SUFFIX) or entry.name.startswith("."):
                continue
            name = voice_name(entry.name)
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
        """The profile's files: one, or several where somebody put there other forms of its name."""
        profiles = (path for path in self._directory.iterdir() if path.name.endswith(PROFILE_SUFFIX))
        return {path for path in profiles if voice_name(path.name) == name}

    def _write_clip(self, name: str, clip: NewClip) -> Path:
        """Its file, whose name tells its content: a reader never finds another clip under a name it has."""
        file = f"{name}-{hashlib.sha256(clip.samples.tobytes()).hexdigest()[:16]}.wav"
        form = {"samplerate": clip.sample_rate, "subtype": "FLOAT", "format": "WAV"}
        path = self._directory / path_name(file)
        encoded = io.BytesIO()  # soundfile itself tells a full disk by an AssertionError
        soundfile.write(encoded, clip.samples, **form)
        with whole_file(path) as stream:
            stream.write(encoded.getbuffer())
        return path

    def _sweep(self) -> None:
        """Call with the lock: then any half-written file, and any clip that its profile does not name, is left over."""
        for path in list(self._directory.iterdir()):
            half_written = path.name.startswith(".") and path.name != _LOCK
            clip = _CLIP.fullmatch(path.name)  # other files were put there by hand
            if half_written or (clip and not self._is_named(path, clip["voice"])):
                with suppress(OSError):
                    path.unlink()

    def _is_named(self, clip: Path, voice: str) -> bool:
        file = clip.with_name(voice + PROFILE_SUFFIX)
        try:
            return bool(json.loads(read_file(file))["audio"] == text_name(clip.name))
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return True  # a profile that cannot be read may still be repaired by hand


def _read(file: Path, origin: str, rules: VoiceRules) -> VoiceProfile | None:
    try:
        _check_inside(file)
        profile = VoiceProfile.read(file, origin)
        rules.check(profile)
        if profile.audio_path is not None:
            _check_inside(profile.audio_path)
    except (OSError, ValueError, KeyError, RecursionError, InvalidRequestError) as error:
        logger.warning("%r is not a voice profile and is skipped: %r", str(file), error)
        return None
    if profile.clip is None and profile.audio_path is not None and not os.path.isfile(profile.audio_path):
        logger.warning("%r is skipped: its clip %r is missing", str(file), profile.audio_path.name)
        return None
    return profile


def _check_inside(file: Path) -> None:
    """Raises InvalidRequestError for a link that leads out of its folder, or in a loop."""
    try:
        inside = file.resolve().is_relative_to(file.parent.resolve())
    except RuntimeError:
        inside = False
    if not inside:
        raise InvalidRequestError(f"{file.name} leads out of the folder")
