"""Answers of before: the same request to the same bundle and voices gives the same bytes, so they may be kept.

An answer's key is its ETag. A folder for them is bounded; what was not asked for the longest goes first.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from higgs_tts import __version__
from pydantic import BaseModel

from gateway.encoding import Output

_TEMPORARY = ".part-"
# They change nothing of the answer's bytes.
_APART = {"model", "strict", "voice", "ref_audio", "stream", "store", "session_id"}


@dataclass(frozen=True)
class Kept:
    """An answer: its media type, its headers and its body."""

    media_type: str
    headers: dict[str, str]
    data: bytes


def key_of(
    body: BaseModel, output: Output, media_type: str, voice: str | None, speakers: Any, clip: str, server: str
) -> str:
    """What tells answers apart: the request's known fields, the form of the answer, the voices and the recording (by
    its digest) that they came to mean, the server (`VoiceNames.identity`), and who encodes.
    """
    told = body.model_dump(exclude=_APART | {*(body.model_extra or {})})
    parts = [
        told,
        voice,
        speakers,
        clip,
        server,
        repr((output, output.format, media_type)),
        av.library_versions,
        __version__,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode(errors="surrogatepass")).hexdigest()


def etag(key: str) -> str:
    """The ETag of an answer: a weak one, since on a GPU near-ties may go another way."""
    return f'W/"{key}"'


def matches(header: str | None, key: str) -> bool:
    """Whether `If-None-Match` names this answer."""
    return header is not None and key in (one.strip(' W/"') for one in header.split(","))


class SpeechCache:
    """Answers in a folder, of at most so many bytes together. Several gateways may share it."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def get(self, key: str) -> Kept | None:
        """The answer, if it is there and whole."""
        try:
            content = (self._folder / key).read_bytes()
            os.utime(self._folder / key)
            head, _, data = content.partition(b"\n")
            told = json.loads(head)
            return Kept(told["media_type"], told["headers"], data) if told["bytes"] == len(data) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, key: str, kept: Kept) -> None:
        """Keep an answer, unless the disk refuses: nobody waits for it."""
        if len(kept.data) > self._max_bytes:
            return
        head = {"media_type": kept.media_type, "headers": kept.headers, "bytes": len(kept.data)}
        with suppress(OSError):
            self._make_room(len(kept.data))
            with tempfile.NamedTemporaryFile(dir=self._folder, prefix=_TEMPORARY, delete=False) as file:
                try:
                    file.write(json.dumps(head).encode() + b"\n" + kept.data)
                    file.flush()
                    os.replace(file.name, self._folder / key)
                except BaseException:
                    os.unlink(file.name)
                    raise

    def _make_room(self, nbytes: int) -> None:
        files = [(entry, entry.stat()) for entry in os.scandir(self._folder) if entry.is_file()]
        total = nbytes + sum(status.st_size for _, status in files)
        for entry, status in sorted(files, key=lambda one: one[1].st_mtime):
            if total <= self._max_bytes:
                return
            with suppress(OSError):
                os.unlink(entry)
            total -= status.st_size
