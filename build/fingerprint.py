"""A hash of everything that something is made from; its callers list what that is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def fingerprint(values: Iterable[object], code: Iterable[Path] = (), data: Iterable[Path] = ()) -> str:
    """A hash of plain values, of the text of all code below some folders, and of the names, sizes and times of data.

    Weights are distinguished by size and time, as make does: hashing gigabytes would cost more than it saves.
    """
    digest = hashlib.sha256()
    for value in values:
        digest.update(repr(value).encode() + b"\0")
    for folder in code:
        for file in sorted(folder.rglob("*")):
            if file.is_file() and file.suffix in (".py", ".toml", ".pbtxt"):
                digest.update(str(file.relative_to(folder.parent)).encode() + b"\0" + file.read_bytes())
    for folder in data:
        for file in sorted(folder.rglob("*")) if folder.is_dir() else []:
            if file.is_file():
                status = file.stat()
                digest.update(f"{file.relative_to(folder)} {status.st_size} {status.st_mtime_ns}\0".encode())
    return digest.hexdigest()
