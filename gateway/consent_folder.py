"""Consents as plain files of one folder: what a person recorded who lets a voice be made of theirs.

ID.json is the record, ID.recording the bytes that were sent. The record is written last and removed first, each in one
piece, so a consent is there whole or not at all. Several gateways may share the folder; writers take turns.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

ID_PREFIX = "cons_"
MOST, MOST_BYTES = 10_000, 512 * 2**20
_ID = re.compile(rf"{ID_PREFIX}[0-9a-f]{{24}}")
_LOCK = ".lock"

logger = logging.getLogger(__name__)


class TooMany(Exception):
    """The folder holds MOST consents, or has no room for another one's recording in MOST_BYTES."""


@dataclass(frozen=True)
class Consent:
    """id: those made later are greater. language: BCP 47. created_at: Unix time. sha256, media_type: of the recording.
    name: what the client calls it."""

    id: str
    name: str
    language: str
    created_at: int
    sha256: str
    media_type: str


class ConsentFolder:
    """Made when first written to; only its owner may read it. Every method may raise OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, name: str, language: str, recording: bytes, media_type: str) -> Consent:
        """Keep a consent. Raises TooMany."""
        with self._locked():
            used = sum(entry.stat().st_size for entry in os.scandir(self._folder))
            if len(self._ids()) >= MOST or used + len(recording) > MOST_BYTES:
                raise TooMany
            now = time.time_ns()
            number = f"{ID_PREFIX}{now:016x}{secrets.token_hex(4)}"
            digest = hashlib.sha256(recording).hexdigest()
            consent = Consent(number, name, language, now // 10**9, digest, media_type)
            self._write(self._folder / f"{number}.recording", recording)
            self._write_record(consent)
        return consent

    def get(self, number: str) -> Consent | None:
        """The consent with that id."""
        if not _ID.fullmatch(number):
            return None
        try:
            return Consent(**json.loads((self._folder / f"{number}.json").read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            logger.warning("%s.json is no record of a consent and is skipped: %s", number, error)
            return None

    def page(self, after: str | None, limit: int) -> tuple[list[Consent], bool]:
        """At most `limit` consents, the newest first, from the one behind `after` on; and whether there are more."""
        later = [number for number in self._ids() if after is None or number < after]
        found: list[Consent] = []
        for number in later:
            if len(found) == limit:
                return found, True
            if (consent := self.get(number)) is not None:
                found.append(consent)
        return found, False

    def rename(self, number: str, name: str) -> Consent | None:
        """Give it another name; None where there is none with that id."""
        if self.get(number) is None:
            return None
        with self._locked():
            consent = self.get(number)  # which may have been removed meanwhile
            if consent is not None:
                consent = replace(consent, name=name)
                self._write_record(consent)
            return consent

    def remove(self, number: str) -> bool:
        """Remove it with its recording; False where there is none with that id."""
        if self.get(number) is None:
            return False
        with self._locked():
            (self._folder / f"{number}.json").unlink(missing_ok=True)
            (self._folder / f"{number}.recording").unlink(missing_ok=True)
        return True

    def _ids(self) -> list[str]:
        """The newest first."""
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        return sorted(
            (name[:-5] for name in names if name.endswith(".json") and _ID.fullmatch(name[:-5])), reverse=True
        )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The only writer, in a folder without what a killed one left."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(self._folder / _LOCK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._sweep()
            yield
        finally:
            os.close(lock)

    def _sweep(self) -> None:
        for path in self._folder.iterdir():
            half_written = path.name.startswith(f".{ID_PREFIX}")
            recording = path.suffix == ".recording" and _ID.fullmatch(path.stem)
            if half_written or (recording and not path.with_suffix(".json").exists()):
                path.unlink(missing_ok=True)

    def _write_record(self, consent: Consent) -> None:
        content = json.dumps(asdict(consent), ensure_ascii=False, indent=2).encode()
        self._write(self._folder / f"{consent.id}.json", content)

    def _write(self, path: Path, content: bytes) -> None:
        temporary = path.with_name(f".{path.name}")
        try:
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
