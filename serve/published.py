"""A bundle that was published into a bucket or folder: where its files are, and which version is in force.

    ADDRESS/manifest.json                               the manifest of the version in force: the last file to change
    ADDRESS/versions/VERSION/manifest.json              the same; its time says when that version was published last
    ADDRESS/versions/VERSION/model_repository/…         files that never change

A version's name is the hash of its manifest, which has the hash of every file: who has read the first file knows what
all others must be, and a version is one bundle, whoever publishes it.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path, PurePosixPath
from typing import IO, TypeVar

from serve.errors import LaunchError
from serve.manifest import REPOSITORY, Manifest

VERSIONS = "versions"
_IN_USE = ".in-use"
_AT_ONCE = 8
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

T = TypeVar("T")


def version_of(manifest: bytes) -> str:
    """The version that has this manifest."""
    return hashlib.sha256(manifest).hexdigest()[:24]


def folder_of(version: str) -> str:
    return f"{VERSIONS}/{version}"


def repository_of(version: str) -> str:
    return f"{folder_of(version)}/{REPOSITORY}"


def read_published(content: bytes, where: str) -> Manifest:
    """A manifest that came from elsewhere. Raises LaunchError: it is damaged, or names a file elsewhere."""
    manifest = Manifest.parse(content, where)
    try:
        for name, file in manifest.files.items():
            path = PurePosixPath(name)
            is_inside = not path.is_absolute() and ".." not in path.parts and len(path.parts) >= 2
            if not is_inside or str(path) != name or _NO_TEXT.search(name):
                raise LaunchError(f"{where} names {name!r}, which is no file of a model repository")
            if type(file["bytes"]) is not int or not isinstance(file["sha256"], str):
                raise LaunchError(f"{where} is damaged (bytes and sha256 of {name}); publish the bundle again")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LaunchError(f"{where} is damaged ({error!r}); publish the bundle again") from error
    return manifest


def hold(bundle: Path, kind: int = fcntl.LOCK_SH) -> IO[str]:
    """A lock on a fetched bundle, held while the file is open; a shared one keeps it from being tidied away.

    Raises BlockingIOError where it does not wait for others' locks.
    """
    lock = (bundle / _IN_USE).open("w")
    try:
        fcntl.flock(lock, kind)
    except OSError:
        lock.close()
        raise
    return lock


def in_parallel(work: Callable[[T], None], items: Iterable[T]) -> None:
    """Do some work on each item, several at a time. The first error ends it and is raised."""
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        for done in as_completed([pool.submit(work, item) for item in items]):
            done.result()
    finally:
        pool.shutdown(cancel_futures=True)
