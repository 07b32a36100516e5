"""Codes of reference clips on disk: one small file per clip, written atomically, checked when read.

Several servers may share the folder. A file's modification time is when it was last used; beyond `max_bytes` the least
recently used go. Codes are stored nowhere else: a voice profile's `embedding` is what is found here for its clip.
File: magic, SHA-256 of the rest, then num_codebooks and frames as uint32 and the codes as int32, all little-endian.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np

from runtime.formats.whole_files import locked, read_file, whole_file

_MAGIC = b"HGC1"
_SHAPE = struct.Struct("<II")
_HEADER_BYTES = len(_MAGIC) + 32
_SUFFIX = ".codes"
_ABANDONED_SECONDS = 3600  # a half-written file of a process that was killed
_CLAIM_SECONDS = 60.0  # longer than a clip takes to encode; whoever holds a claim that long is stuck


def clip_digest(samples: np.ndarray) -> str:
    """The identity of a clip: the SHA-256 of the float32 samples of its whole codec frames."""
    return hashlib.sha256(np.ascontiguousarray(samples, dtype="<f4").tobytes()).hexdigest()


def codes_key(codec: str, digest: str) -> str:
    """The name of the codes of the clip with that digest: a hash of the digest and of the codec."""
    return hashlib.sha256(f"{codec} {digest}".encode()).hexdigest()


class CodeFiles:
    """The folder. Safe for any number of threads and processes; an unreadable file counts as absent.

    Args:
        directory: created when something is first stored.
        max_bytes: how large all files together may be.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory, self._max_bytes = directory, max_bytes

    def load(self, key: str) -> np.ndarray | None:
        """int32 [num_codebooks, frames], or None. Removes a damaged file."""
        path = self._path(key)
        try:
            content = read_file(path)
        except OSError:
            return None
        codes = _decoded(content)
        if codes is None:
            with suppress(OSError):
                path.unlink()
            return None
        self.touch(key)
        return codes

    def touch(self, key: str) -> None:
        """Mark the clip as used now."""
        with suppress(OSError):
            os.utime(self._path(key))

    def store(self, key: str, codes: np.ndarray) -> None:
        """Store int32 [num_codebooks, frames], making room if needed. Raises OSError when it cannot be written."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with whole_file(self._path(key)) as file:
            file.write(_encoded(codes))
        self._make_room()

    @contextmanager
    def claimed(self, key: str) -> Iterator[None]:
        """Exclude every other holder of the same clip, in any process, so that the clip is encoded once.

        A claim is released when its process ends. If files cannot be locked, or the holder is stuck, do not wait.
        """
        with ExitStack() as claim:
            with suppress(OSError):
                self._directory.mkdir(parents=True, exist_ok=True)
                claim.enter_context(locked(self._directory / f".lock-{key[:2]}", _CLAIM_SECONDS))
            yield

    def _path(self, key: str) -> Path:
        return self._directory / f"{key}{_SUFFIX}"

    def _make_room(self) -> None:
        files = []
        abandoned = time.time() - _ABANDONED_SECONDS
        for entry in os.scandir(self._directory):
            with suppress(OSError):  # another process may have removed it
                status = entry.stat()
                if entry.name.endswith(_SUFFIX):
                    files.append((status.st_mtime_ns, status.st_size, entry.path))
                elif not entry.name.startswith(".lock-") and status.st_mtime < abandoned:
                    os.unlink(entry.path)
        excess = sum(size for _, size, _ in files) - self._max_bytes
        for _, size, path in sorted(files):
            if excess <= 0:
                break
            with suppress(OSError):
                os.unlink(path)
            excess -= size


def _encoded(codes: np.ndarray) -> bytes:
    body = _SHAPE.pack(*codes.shape) + np.ascontiguousarray(codes, dtype="<i4").tobytes()
    return _MAGIC + hashlib.sha256(body).digest() + body


def _decoded(content: bytes) -> np.ndarray | None:
    body = content[_HEADER_BYTES:]
    if content[:_HEADER_BYTES] != _MAGIC + hashlib.sha256(body).digest() or len(body) < _SHAPE.size:
        return None
    shape = _SHAPE.unpack_from(body)
    return np.frombuffer(body, dtype="<i4", offset=_SHAPE.size).astype(np.int32).reshape(shape)
