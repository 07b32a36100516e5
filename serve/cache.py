"""`python -m serve.cache ADDRESS`: bring a published bundle onto this machine, and print its folder.

A process of its own: NVIDIA's Python, which serves, lacks the packages for buckets. What was fetched before is kept and
served where nothing newer can be had. On the disk a bundle lies as it is published (`serve/published.py`).
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from higgs_tts.buckets import open_storage
from higgs_tts.errors import HiggsError

from serve.errors import LaunchError
from serve.files import place
from serve.manifest import MANIFEST_FILE, REPOSITORY, Manifest, check_files, sha256
from serve.published import VERSIONS, folder_of, hold, in_parallel, read_published, repository_of, version_of

_LOOK_SECONDS = 10.0  # for the manifest; a bucket that does not answer must not hold up a start for long
_LOCK, _PART, _UNCHECKED = ".lock", ".part", ".unchecked"


class Cache:
    """What one machine has of the bundles that are published at an address. folder: of that address alone."""

    def __init__(self, address: str, folder: Path) -> None:
        self._address, self._folder = address.rstrip("/"), folder

    def bring(self, verify: bool = False) -> Path:
        """The folder of the version in force, after fetching what of it is not there yet.

        verify: read again what is there. What fails leaves the version that was served last. Raises LaunchError.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._claimed():
                content = self._published()
                self._fetch(content, verify)
                _put(self._folder / MANIFEST_FILE, content)
                self._tidy(version_of(content))
            return self._folder / folder_of(version_of(content))
        except HiggsError as error:
            raise LaunchError(str(error)) from error
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise self._full(error.strerror) from error

    def present(self) -> Path | None:
        """The folder of the version that was brought last, if it is whole."""
        try:
            content = (self._folder / MANIFEST_FILE).read_bytes()
            version = self._folder / folder_of(version_of(content))
            return version if _is_whole(version, read_published(content, MANIFEST_FILE), verify=False) else None
        except (OSError, LaunchError):
            return None

    def _published(self) -> bytes:
        try:
            return open_storage(self._address, seconds=_LOOK_SECONDS).read(MANIFEST_FILE)
        except FileNotFoundError:
            raise LaunchError(
                f"nothing is published at {self._address}: make publish BUNDLE=… TO={self._address}"
            ) from None

    def _fetch(self, content: bytes, verify: bool) -> None:
        manifest, version = read_published(content, f"{self._address}/{MANIFEST_FILE}"), version_of(content)
        there = self._folder / folder_of(version)
        if _is_whole(there, manifest, verify):
            return
        part = there.with_name(version + _PART)
        if there.is_dir():  # damaged here; what of it is good need not come again
            shutil.rmtree(part, ignore_errors=True)
            there.rename(part)
        repository = part / REPOSITORY
        missing = [name for name, file in manifest.files.items() if not _is_file(repository / name, file)]
        self._refuse_if_full(sum(int(manifest.files[name]["bytes"]) for name in missing), repository)
        storage, known = open_storage(self._address), self._by_content(but=version)

        def bring(name: str) -> None:
            path, file = repository / name, manifest.files[name]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            if (source := known.get(file["sha256"])) and _is_file(source, file):
                place(source, path)
                return
            remote, fresh = f"{repository_of(version)}/{name}", path.with_name(path.name + _UNCHECKED)
            for again in (False, True):  # on the way, too, a byte may change
                start = fresh.stat().st_size if fresh.is_file() and not again else 0
                storage.fetch(remote, fresh, start=start if start < file["bytes"] else 0)
                if _is_file(fresh, file):
                    fresh.replace(path)
                    return
            fresh.unlink()
            raise LaunchError(
                f"{storage.address_of(remote)} is not the file that was published: its SHA-256 differs from the "
                f"manifest's; publish the bundle again with: make publish TO={self._address} PUBLISH_OPTIONS=--all"
            )

        try:
            in_parallel(bring, missing)
        except FileNotFoundError as error:
            raise LaunchError(
                f"{error.filename} is missing; publish the bundle again with: make publish TO={self._address}"
            ) from None
        for name in manifest.files:  # the version of an ensemble is an empty folder in older bundles
            if name.endswith("/config.pbtxt"):
                (repository / name).with_name("1").mkdir(exist_ok=True)
        (part / MANIFEST_FILE).write_bytes(content)
        part.rename(there)

    def _by_content(self, but: str) -> dict[str, Path]:
        """By hash, the files that other versions have here."""
        found = {}
        for folder in (self._folder / VERSIONS).glob("*"):
            with suppress(OSError, LaunchError):
                if folder.name != but:
                    files = read_published((folder / MANIFEST_FILE).read_bytes(), MANIFEST_FILE).files
                    found.update({file["sha256"]: folder / REPOSITORY / name for name, file in files.items()})
        return found

    def _refuse_if_full(self, needed: int, repository: Path) -> None:
        needed -= sum(file.stat().st_size for file in repository.rglob(f"*{_UNCHECKED}"))
        if shutil.disk_usage(self._folder).free < needed:
            raise self._full(f"{needed / 2**20:.0f} MiB more are needed")

    def _full(self, what: str | None) -> LaunchError:
        return LaunchError(f"the cache {self._folder} has no room for the bundle ({what}); name another with --cache")

    def _tidy(self, version: str) -> None:
        """Remove all versions but this one, the one before it, and those that somebody serves."""
        others = [one for one in (self._folder / VERSIONS).iterdir() if one.name != version]
        whole = sorted((one for one in others if one.suffix != _PART), key=lambda one: one.stat().st_mtime)
        for one in {*others} - {*whole[-1:]}:
            with suppress(OSError), hold(one, fcntl.LOCK_EX | fcntl.LOCK_NB):
                shutil.rmtree(one, ignore_errors=True)

    @contextmanager
    def _claimed(self) -> Iterator[None]:
        """One process at a time; the next then finds what this one fetched."""
        with (self._folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _is_whole(bundle: Path, manifest: Manifest, verify: bool) -> bool:
    try:
        check_files(bundle / REPOSITORY, manifest.files, verify)
    except LaunchError:
        return False
    return (bundle / MANIFEST_FILE).is_file()


def _is_file(path: Path, file: dict[str, object]) -> bool:
    """Whether a file is there as the manifest has it."""
    return path.is_file() and path.stat().st_size == file["bytes"] and sha256(path) == file["sha256"]


def _put(path: Path, content: bytes) -> None:
    fresh = path.with_name(path.name + _PART)
    fresh.write_bytes(content)
    os.replace(fresh, path)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code. Standard error has a sentence where the newest bundle cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m serve.cache", description=__doc__.partition("\n")[0])
    parser.add_argument("address", help="where the bundle was published: s3://bucket/prefix, gs://…, az://…, file://…")
    parser.add_argument("folder", type=Path, help="where to keep it")
    parser.add_argument("--verify", action="store_true", help="read again what is there")
    options = parser.parse_args(arguments)
    cache = Cache(options.address, options.folder)
    try:
        print(cache.bring(options.verify))
    except (LaunchError, OSError) as error:
        reason = str(error) if isinstance(error, LaunchError) else f"{error.strerror}: {error.filename}"
        print(" ".join(reason.split()), file=sys.stderr)
        present = cache.present()
        if present is None:
            return 1
        print(present)
    return 0


if __name__ == "__main__":
    sys.exit(main())
