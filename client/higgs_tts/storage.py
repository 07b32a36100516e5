"""Files under one address: a local folder, or a prefix in a bucket (`s3://bucket/prefix`, `gs://…`, `az://…`).

    storage = Storage("s3://speech/run-7")
    storage.write("a.wav", data, {"voice": "slt"}, new=True)

Needs the extra `storage`. Credentials, region and endpoint are the provider's usual ones: for S3 the variables `AWS_*`,
a profile, a web identity or the machine's own role.
"""

import json
import mimetypes
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import obstore
from obstore.store import LocalStore

from .bucket_store import bucket_store
from .buckets import is_address
from .errors import InvalidRequestError
from .storage_errors import AlreadyStoredError, StorageError, already_stored, told

__all__ = ["AlreadyStoredError", "GrowingFile", "Storage", "StorageError", "Stored"]

RETRY_SECONDS = 60.0
PIECE = 8 << 20  # bytes; S3 takes none smaller than 5 MiB, and 10,000 of them
MOST_SIGNED_SECONDS = 7 * 24 * 3600  # S3 signs for no longer
_PIECES = 2  # of a growing object, on their way at a time, where nothing else is said
_METADATA = ".metadata.json"  # behind a local file's name
_PLAIN = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")  # what a header may hold


@dataclass(frozen=True)
class Stored:
    """A file or object. size: bytes. version: another one for another content. modified: when it was written."""

    name: str
    size: int
    version: str
    modified: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)


class Storage:
    """The files of one folder, or the objects below one prefix of a bucket. Safe to use from any thread.

    Names are relative, with `/` between their parts. Metadata are short texts under lower-case names with `-`; a bucket
    takes about 2,000 bytes of them for an object, a folder keeps them beside the file, in `NAME.metadata.json`.

    seconds: for how long a request that fails is repeated, with growing pauses of random length. What fails still, or
    may not be done, raises StorageError. Nothing is asked of a bucket before the first call. Raises InvalidRequestError
    for an address that is none.
    """

    def __init__(self, address: str, *, seconds: float = RETRY_SECONDS) -> None:
        if not address.removeprefix("file://"):
            raise InvalidRequestError(
                "The address of a storage is empty: give a folder, s3://bucket/prefix, gs://… or az://…."
            )
        self.address = address.rstrip("/") or "/"
        self.is_bucket = is_address(address) and not address.startswith("file://")
        if self.is_bucket:
            self._store, self._prefix = bucket_store(self.address, seconds), ""
        else:
            folder = Path(address.removeprefix("file://")).resolve().as_posix()
            self._store, self._prefix = LocalStore(), f"{folder.strip('/')}/".lstrip("/")

    def address_of(self, name: str) -> str:
        """The whole address of a file."""
        return f"{self.address}/{name}"

    def find(self, name: str) -> Stored | None:
        """What is known of a file, without reading it; None where there is none."""
        try:
            with self._told(name):
                found = obstore.get(self._store, self._prefix + name, options={"head": True})
        except FileNotFoundError:
            return None
        return self._stored(found.meta, self._metadata(name, found.attributes))

    def names(self, folder: str = "") -> Iterator[Stored]:
        """The files below a folder of this storage (all, without one), in no order, without their metadata."""
        with self._told(folder):
            for some in obstore.list(self._store, self._prefix + folder):
                for one in some:
                    if self.is_bucket or not one["path"].endswith(_METADATA):
                        yield self._stored(one, {})

    def read(self, name: str) -> bytes:
        """The whole file. Raises FileNotFoundError."""
        with self._told(name):
            return bytes(obstore.get(self._store, self._prefix + name).bytes())

    def fetch(self, name: str, path: Path, *, start: int = 0) -> None:
        """Copy a file to a local path, whose folder exists. Raises FileNotFoundError, and OSError for the path.

        start: bytes that the path holds already, fewer than the file has; what follows them is added.
        """
        options: Any = {"range": {"offset": start}} if start else {}
        with self._told(name):
            blocks = iter(obstore.get(self._store, self._prefix + name, options=options).stream(PIECE))
        with path.open("ab" if start else "wb") as file:
            while True:
                with self._told(name):
                    block = next(blocks, None)
                if block is None:
                    return
                file.write(block)

    def write(
        self,
        name: str,
        data: bytes | Path,
        metadata: Mapping[str, str] | None = None,
        *,
        new: bool = False,
        replaces: Stored | None = None,
    ) -> None:
        """Write a whole file at once, from memory or from a local path; nobody ever sees half of it.

        new: only if there is none of this name. replaces: only if the present one is still this one; a bucket looks
        and writes in one step. Raises AlreadyStoredError where that is not so, OSError for a path that cannot be read.
        """
        if isinstance(data, Path):
            data.open("rb").close()
        if replaces is not None and not self.is_bucket and self.find(name) != replaces:
            raise already_stored(self.address_of(name))
        mode: Any = "create" if new else {"e_tag": replaces.version} if replaces and self.is_bucket else "overwrite"
        with self._told(name):
            obstore.put(
                self._store, self._prefix + name, data, attributes=self._attributes(name, metadata or {}), mode=mode
            )
        self._keep(name, metadata or {})

    def copy(self, name: str, other: str) -> None:
        """Give a file's content and metadata another name, too, without reading it. Raises FileNotFoundError.

        S3 copies no more than 5 GiB at once; more is a StorageError.
        """
        with self._told(name):
            obstore.copy(self._store, self._prefix + name, self._prefix + other)
        self._keep(other, self._metadata(name, {}))

    def growing(self, name: str, metadata: Mapping[str, str] | None = None, *, ahead: int = _PIECES) -> "GrowingFile":
        """Write a file that still grows, in a `with` block. It replaces another of its name.

        ahead: pieces that may be on their way at a time.
        """
        return GrowingFile(self, name, dict(metadata or {}), ahead)

    def remove(self, name: str) -> None:
        """Remove a file. One that is not there is no error."""
        for one in (name,) if self.is_bucket else (name, name + _METADATA):
            with suppress(FileNotFoundError), self._told(name):
                obstore.delete(self._store, self._prefix + one)

    def presigned(self, name: str, seconds: float) -> str | None:
        """An address from which anybody may fetch the file for so long; None for a local folder.

        seconds: 1 to MOST_SIGNED_SECONDS; others raise InvalidRequestError.
        """
        if not 1 <= seconds <= MOST_SIGNED_SECONDS:
            raise InvalidRequestError(f"An address is signed for 1 to {MOST_SIGNED_SECONDS} seconds, not {seconds:g}.")
        if isinstance(self._store, LocalStore):
            return None
        with self._told(name):
            return obstore.sign(self._store, "GET", name, timedelta(seconds=seconds))

    def _stored(self, meta: Any, metadata: Mapping[str, str]) -> Stored:
        name, modified = meta["path"].removeprefix(self._prefix), meta["last_modified"].astimezone(timezone.utc)
        return Stored(name, meta["size"], meta["e_tag"] or "", modified, metadata)

    def _attributes(self, name: str, metadata: Mapping[str, str]) -> Any:
        """What goes with an object; None for a file."""
        if not self.is_bucket:
            return None
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return {"Content-Type": kind} | {key: _quoted(value) for key, value in metadata.items()}

    def _metadata(self, name: str, attributes: Mapping[str, str]) -> dict[str, str]:
        if self.is_bucket:
            return {key: unquote(value) for key, value in attributes.items() if key.islower()}
        try:
            return json.loads(self.read(name + _METADATA))
        except (FileNotFoundError, ValueError):
            return {}

    def _keep(self, name: str, metadata: Mapping[str, str]) -> None:
        """The metadata of a file that was written, in place of those before."""
        if self.is_bucket:
            return
        beside, text = self._prefix + name + _METADATA, json.dumps(metadata, ensure_ascii=False, indent=1)
        with self._told(name):
            if metadata:
                obstore.put(self._store, beside, text.encode())
            else:
                with suppress(FileNotFoundError):
                    obstore.delete(self._store, beside)

    def _told(self, name: str) -> AbstractContextManager[None]:
        return told(self.address_of(name), self.address)


class GrowingFile(AbstractContextManager["GrowingFile"]):
    """What is written appears under its name when the `with` block ends, and never after an exception.

    It leaves in pieces of 8 MiB while more is written, a shorter one at the end. `metadata` may be changed until the
    first has left: `is_on_its_way`.
    """

    def __init__(self, storage: Storage, name: str, metadata: dict[str, str], ahead: int) -> None:
        self.metadata = metadata
        self._storage, self._name, self._ahead = storage, name, ahead
        self._start = bytearray()
        self._file: Any = None

    @property
    def is_on_its_way(self) -> bool:
        """Whether a piece has left."""
        return self._file is not None

    def write(self, data: bytes) -> None:
        """Append bytes; waits while as many pieces as may are on their way. Raises StorageError."""
        storage, name = self._storage, self._name
        if self._file is None:
            self._start += data
            if len(self._start) <= PIECE:
                return
            data, self._start = bytes(self._start), bytearray()
            self._file = obstore.open_writer(
                storage._store, storage._prefix + name, attributes=storage._attributes(name, self.metadata),
                buffer_size=PIECE, max_concurrency=self._ahead,
            )  # fmt: skip
        with storage._told(name):
            self._file.write(data)

    def __exit__(self, *error: Any) -> None:
        if self._file is None and error[0] is None:
            self._storage.write(self._name, bytes(self._start), self.metadata)
        elif self._file is not None:
            with self._storage._told(self._name):
                self._file.__exit__(*error)
            if error[0] is None:
                self._storage._keep(self._name, self.metadata)


def size_of(metadata: Mapping[str, str]) -> int:
    """Bytes that a bucket counts of these metadata."""
    return sum(len(name) + len(_quoted(value)) for name, value in metadata.items())


def _quoted(value: str) -> str:
    return re.sub("^ | $", "%20", quote(value, safe=_PLAIN))  # a header loses spaces around it
