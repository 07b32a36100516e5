"""Voice profiles as plain files of one folder: NAME.profile.json, and the clip that it names as a float32 WAV.

The JSON holds `transcript`, `audio` (a file beside it, or null), `seconds` and `metadata`. It is written last and in
one piece, so a profile is there whole or not at all; a clip that no profile names is what a killed writer left.
Writers, of any process, take turns; readers need not wait for them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from common.voice_profile import VoiceProfile

_SUFFIX = ".profile.json"
_LOCK = ".lock"
_CLIP = re.compile(r"(?P<voice>.+)-[0-9a-f]{16}\.wav")
# Two changes within one tick of the file system's clock look like one: a folder that changed just now is read again.
_SETTLED_NANOSECONDS = 2 * 10**9

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Seen:
    """A profile's file as it was when read; `profile` is None when it could not be."""

    stamp: tuple[int, int, int]
    profile: VoiceProfile | None


class ProfileFolder:
    """The profiles of a folder, which may be missing. Reading looks at the disk only when the folder changed.

    Args:
        origin: of its profiles: BUNDLE or ADDED.
    """

    def __init__(self, directory: Path, origin: str) -> None:
        self._directory, self._origin = directory, origin
        self._seen: dict[str, _Seen] = {}
        self._changed_at: int | None = None  # the folder's time when it was last read, None: read it again

    def profiles(self) -> dict[str, VoiceProfile]:
        """By name, as they are now. A file that cannot be read is left out, with a line in the log."""
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
        self, name: str, clip: tuple[np.ndarray, int] | None, transcript: str, metadata: dict[str, Any], replace: bool
    ) -> VoiceProfile:
        """Store a profile; clip: float32 [samples] and their rate in Hz, None for a voice described in words.

        Raises FileExistsError unless it may replace, and OSError when the disk refuses; the folder is then as before.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        with self._turn():
            file = self._directory / f"{name}{_SUFFIX}"
            if file.exists() and not replace:
                raise FileExistsError(name)
            audio = None if clip is None else self._write_clip(name, *clip)
            seconds = 0.0 if clip is None else len(clip[0]) / clip[1]
            values = {"transcript": transcript, "audio": audio, "seconds": seconds, "metadata": metadata}
            content = json.dumps(values, ensure_ascii=False, indent=2).encode()
            self._put(file.name, lambda stream: stream.write(content))
            self._sweep()
        self._changed_at = None
        return _profile(file, values, self._origin)

    def delete(self, name: str) -> bool:
        """Remove a profile and its clip; False when there is none. Raises OSError when the disk refuses."""
        if not self._directory.is_dir():
            return False
        with self._turn():
            try:
                (self._directory / f"{name}{_SUFFIX}").unlink()
            except FileNotFoundError:
                return False
            self._sweep()
        self._changed_at = None
        return True

    def sweep(self) -> None:
        """Remove what a killed writer left, if the folder is there and lets itself be written."""
        with suppress(OSError):
            if self._directory.is_dir():
                with self._turn():
                    self._sweep()

    def _scan(self) -> Iterator[tuple[str, _Seen]]:
        try:
            entries = list(os.scandir(self._directory))
        except OSError:
            return
        for entry in entries:
            if not entry.name.endswith(_SUFFIX) or entry.name.startswith("."):
                continue
            name = entry.name.removesuffix(_SUFFIX)
            try:
                status = entry.stat()
            except OSError:  # removed meanwhile
                continue
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            seen = self._seen.get(name)
            yield name, seen if seen and seen.stamp == stamp else _Seen(stamp, _read(Path(entry.path), self._origin))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Alone among writers; the lock falls with the process, however it ends."""
        with (self._directory / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _write_clip(self, name: str, samples: np.ndarray, rate: int) -> str:
        """Returns the file's name, which tells its content: a reader never finds another clip under a name it has."""
        audio = f"{name}-{hashlib.sha256(samples.tobytes()).hexdigest()[:16]}.wav"
        self._put(audio, lambda stream: soundfile.write(stream, samples, rate, subtype="FLOAT", format="WAV"))
        return audio

    def _put(self, name: str, write: Callable[[BinaryIO], object]) -> None:
        """Make a file in one piece, on the disk before it has its name."""
        with tempfile.NamedTemporaryFile(dir=self._directory, prefix=".", delete=False) as stream:
            try:
                write(stream)  # type: ignore[arg-type]
                stream.flush()
                os.fsync(stream.fileno())
                os.chmod(stream.name, 0o644)
                os.replace(stream.name, self._directory / name)
            except BaseException:
                with suppress(OSError):
                    os.unlink(stream.name)
                raise

    def _sweep(self) -> None:
        """Only within a turn: then every half-written file, and every clip its profile does not name, is left over."""
        for path in list(self._directory.iterdir()):
            half_written = path.name.startswith(".") and path.name != _LOCK
            clip = _CLIP.fullmatch(path.name)  # others were put there by hand
            if half_written or (clip and not self._is_named(path, clip["voice"])):
                with suppress(OSError):
                    path.unlink()

    def _is_named(self, clip: Path, voice: str) -> bool:
        file = clip.with_name(voice + _SUFFIX)
        try:
            return bool(json.loads(file.read_bytes())["audio"] == clip.name)
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, TypeError):
            return True  # a profile that cannot be read may still be repaired by hand


def _read(file: Path, origin: str) -> VoiceProfile | None:
    try:
        profile = _profile(file, json.loads(file.read_bytes()), origin)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("%s is no voice profile and is left out: %r", file, error)
        return None
    if profile.audio_path is not None and not profile.audio_path.is_file():
        logger.warning("%s is left out: its clip %s is missing", file, profile.audio_path.name)
        return None
    return profile


def _profile(file: Path, values: dict[str, Any], origin: str) -> VoiceProfile:
    audio, metadata = values["audio"], values["metadata"]
    if audio is not None and Path(audio).name != audio:
        raise ValueError(f"{audio!r} is not the name of a file beside it")
    return VoiceProfile(
        name=file.name.removesuffix(_SUFFIX),
        audio_path=None if audio is None else file.with_name(audio),
        transcript=str(values["transcript"]),
        embedding=None,
        metadata=dict(metadata),
        seconds=float(values["seconds"]),
        origin=origin,
    )
