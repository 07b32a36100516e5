"""Audio output: 16-bit PCM, audio files written chunk by chunk, and a raw byte stream."""

import errno
import os
import re
import secrets
from collections.abc import Collection
from contextlib import AbstractContextManager
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from .errors import AudioFormatError

FULL_SCALE = 32767
# libsndfile's Vorbis encoder puts a whole write on the C stack and crashes on long ones.
WRITE_BLOCK = 1 << 15
PARTIAL = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.partial")


def to_s16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Float samples [n], clamped to [-1, 1], as the nearest little-endian 16-bit values [n]."""
    return np.rint(np.clip(samples, -1.0, 1.0) * FULL_SCALE).astype("<i2")


def audio_format(path: str | PathLike[str]) -> str:
    """libsndfile's name for the format that the extension of `path` denotes.

    Raises AudioFormatError for an unknown extension.
    """
    extension = Path(path).suffix.lstrip(".").upper()
    if extension == "RAW" or not soundfile.check_format(extension):
        raise AudioFormatError(f"Cannot write {str(path)!r}: end its name in .wav, .flac, .ogg or .mp3.")
    return extension


class AudioFile(AbstractContextManager["AudioFile"]):
    """An audio file that appears under its name only when it is complete.

    Chunks go to a temporary file in the same folder. Leaving the `with` block renames it, or removes it after an
    exception; with `keep_partial` what was written is kept under the final name in either case.
    Raises AudioFormatError for an unknown extension, OSError when the file cannot be written.
    """

    def __init__(self, path: str | PathLike[str], sample_rate: int, *, keep_partial: bool = False) -> None:
        self.path = Path(path)
        self._keep_partial = keep_partial
        format_name = audio_format(path)
        if self.path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        self._partial = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.partial")
        # libsndfile reports a failed open without the reason; the system call gives it.
        try:
            self._partial.touch(exist_ok=False)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None
        self._file = soundfile.SoundFile(os.fsencode(self._partial), "w", sample_rate, channels=1, format=format_name)

    def write(self, samples: NDArray[np.float32]) -> None:
        """Append float samples [n] in [-1, 1]. Raises OSError when the disk is full."""
        pcm = to_s16(samples)
        for start in range(0, len(pcm), WRITE_BLOCK):
            try:
                self._file.write(pcm[start : start + WRITE_BLOCK])
            # soundfile states by assertion that libsndfile took every frame.
            except (soundfile.SoundFileError, AssertionError):
                raise self._disk_full() from None

    def __exit__(self, *error: object) -> None:
        has_audio = self._file.frames > 0
        keep = error[0] is None or (self._keep_partial and has_audio)
        try:
            self._file.close()
            if keep:
                self._partial.replace(self.path)
        except soundfile.SoundFileError:
            raise self._disk_full() from None
        finally:
            self._partial.unlink(missing_ok=True)

    def _disk_full(self) -> OSError:
        # libsndfile does not pass the reason on; for an open file that accepts no more data there is only one.
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))


def remove_partials(folder: Path, names: Collection[str]) -> None:
    """Remove the partial files that a killed process left in `folder` for audio files with these names.

    Call it only when nobody else is writing them. Raises OSError.
    """
    for path in folder.iterdir():
        partial = PARTIAL.fullmatch(path.name)
        if partial and partial["name"] in names:
            path.unlink()


class PcmStream(AbstractContextManager["PcmStream"]):
    """Raw mono s16le PCM for a reader at the other end. Raises BrokenPipeError once the reader is gone."""

    def __init__(self, stream: BinaryIO) -> None:
        self._descriptor = stream.fileno()

    def write(self, samples: NDArray[np.float32]) -> None:
        """Write float samples [n] in [-1, 1] at once; blocks while the reader is slow."""
        # Bypass Python's own buffer, so that nothing is left to fail when the interpreter flushes at exit.
        rest = memoryview(to_s16(samples).tobytes())
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def __exit__(self, *error: object) -> None:
        """Leave the stream open; it is not ours to close."""
