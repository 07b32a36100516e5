"""The files that a batch names: local paths, and addresses in a bucket, which need the extra `storage`."""

from __future__ import annotations

import os
import posixpath
import re
from errno import EISDIR
from pathlib import Path
from typing import TYPE_CHECKING

from ..buckets import is_address, open_storage
from ..errors import InvalidRequestError

if TYPE_CHECKING:
    from ..storage import Storage

Place = Path | str  # a string is an address, such as s3://bucket/folder/name

_ADDRESS = re.compile(r"(?P<root>[^/]*://[^/]*)(?P<path>.*)", re.DOTALL)


def place(text: str) -> Place:
    """The place that a word of the command line or of a manifest names."""
    if text.startswith("file://"):
        return Path(text.removeprefix("file://"))
    return text if is_address(text) else Path(text)


def beside(file: Place, name: str) -> Place:
    """What a name stands for in a file at this place: itself where it is whole, else from the file's folder."""
    named = place(name)
    if isinstance(file, Path):
        return file.parent / named if isinstance(named, Path) else named
    if isinstance(named, str) or named.is_absolute():
        return named
    root, path = _split(file)
    return root + posixpath.normpath(f"/{posixpath.dirname(path)}/{name}").replace("//", "/")


class Files:
    """Reads and writes whole files at any place. Safe to use from any thread.

    Raises OSError, StorageError, and InvalidRequestError for an address that is none or without the extra.
    """

    def __init__(self) -> None:
        self._buckets: dict[str, Storage] = {}

    def read(self, file: Place) -> bytes:
        """The file's content."""
        if isinstance(file, Path):
            return file.read_bytes()
        root, path = _split(file)
        return self._bucket(root).read(path.lstrip("/"))

    def check(self, file: Place) -> None:
        """Refuse what `write` would, as far as can be known before."""
        if isinstance(file, Path):
            if file.is_dir():
                raise IsADirectoryError(EISDIR, os.strerror(EISDIR), str(file))
        else:
            self._bucket(_split(file)[0])

    def write(self, file: Place, content: bytes) -> None:
        """Write or replace the file; nobody ever sees half of it."""
        if isinstance(file, Path):
            file.parent.mkdir(parents=True, exist_ok=True)
            partial = file.with_name(f".{file.name}.partial")
            partial.write_bytes(content)
            partial.replace(file)
        else:
            root, path = _split(file)
            self._bucket(root).write(path.lstrip("/"), content)

    def _bucket(self, root: str) -> Storage:
        if root not in self._buckets:
            self._buckets[root] = open_storage(root)
        return self._buckets[root]


def _split(address: str) -> tuple[str, str]:
    """The bucket and what is below it, which names a file."""
    parts = _ADDRESS.fullmatch(address)
    path = parts["path"] if parts else ""
    if parts is None or path in ("", "/") or path != f"/{posixpath.normpath(path).lstrip('/')}":
        raise InvalidRequestError(f"{address!r} names no file in a bucket: give s3://bucket/folder/name.")
    return parts["root"], path
