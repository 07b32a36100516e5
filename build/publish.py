"""`python -m build.publish BUNDLE ADDRESS`: put a built bundle into a bucket (s3://bucket/prefix) or a folder.

Readers see the old bundle or the new one, whole: `serve/published.py` says how it lies there.
"""

from __future__ import annotations

import argparse
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

from higgs_tts.buckets import open_storage
from higgs_tts.errors import HiggsError
from higgs_tts.storage import AlreadyStoredError, Storage, StorageError

from build.bundle import LOCK_FILE
from build.errors import BuildError
from runtime.formats.whole_files import locked
from serve.errors import LaunchError
from serve.manifest import MANIFEST_FILE, REPOSITORY, Manifest, check_files
from serve.published import VERSIONS, folder_of, in_parallel, read_published, repository_of, version_of

_MOST_HOURS = 24 * 36500


def publish(bundle: Path, to: Storage, *, everything: bool = False, older_hours: float | None = None) -> None:
    """Upload what is not there yet, then put it in force. Only the manifest and the files that it names are taken.

    everything: upload also what is there, for a bucket whose files were damaged. older_hours: afterwards remove the
    versions that were published longer ago, but for the one in force and the one before it.
    Raises BuildError, LaunchError for a bundle that is not whole, HiggsError for the bucket, OSError.
    """
    if not (bundle / MANIFEST_FILE).is_file():
        raise BuildError(f"{bundle} is not a bundle (no {MANIFEST_FILE}); build one with: make engine")
    try:
        with locked(bundle / LOCK_FILE, wait=0):
            _publish(bundle, to, everything, older_hours)
    except BlockingIOError:
        raise BuildError(f"a build is writing into {bundle}; publish it when that has ended") from None


def _publish(bundle: Path, to: Storage, everything: bool, older_hours: float | None) -> None:
    content = (bundle / MANIFEST_FILE).read_bytes()
    manifest, version = read_published(content, str(bundle / MANIFEST_FILE)), version_of(content)
    check_files(bundle / REPOSITORY, manifest.files, verify=True)
    seen = to.find(MANIFEST_FILE)
    before = to.read(MANIFEST_FILE) if seen else b""
    # Written first: whoever tidies up meanwhile sees that this version is a new one.
    to.write(f"{folder_of(version)}/{MANIFEST_FILE}", content)
    _upload(bundle / REPOSITORY, manifest, to, repository_of(version), _by_content(before), everything)
    try:
        if before != content:
            to.write(MANIFEST_FILE, content, new=seen is None, replaces=seen)
    except AlreadyStoredError:
        raise BuildError(f"another bundle was published to {to.address} meanwhile; look, and publish again") from None
    print(f"{to.address} is version {version}" + (", as before" if before == content else ""))
    if older_hours is not None:
        _tidy(to, version, version_of(before), datetime.now(timezone.utc) - timedelta(hours=older_hours))


def _upload(
    repository: Path, manifest: Manifest, to: Storage, folder: str, known: dict[str, str], everything: bool
) -> None:
    """known: by hash, where the bucket has that content already."""
    there = {} if everything else {stored.name: stored.size for stored in to.names(folder)}
    missing = [name for name, file in manifest.files.items() if there.get(f"{folder}/{name}") != file["bytes"]]
    known = {} if everything else known

    def bring(name: str) -> None:
        source = known.get(manifest.files[name]["sha256"])
        if source is None or not _copied(to, source, f"{folder}/{name}"):
            to.write(f"{folder}/{name}", repository / name)

    copied = sum(manifest.files[name]["sha256"] in known for name in missing)
    print(f"{len(missing) - copied} files to upload, {copied} to copy there, {len(manifest.files)} in all", flush=True)
    in_parallel(bring, missing)


def _copied(to: Storage, source: str, name: str) -> bool:
    """Whether the bucket copied a file itself: it may be gone, or larger than a bucket copies at once."""
    try:
        to.copy(source, name)
    except (FileNotFoundError, StorageError):
        return False
    return True


def _by_content(content: bytes) -> dict[str, str]:
    """Where the files of a published manifest are, by hash; nowhere for one that cannot be read."""
    try:
        files = read_published(content, MANIFEST_FILE).files
    except LaunchError:
        return {}
    folder = repository_of(version_of(content))
    return {file["sha256"]: f"{folder}/{name}" for name, file in files.items()}


def _tidy(to: Storage, version: str, before: str, until: datetime) -> None:
    """Remove what was published before that time, but for this version and the one before it."""
    names = [stored.name for stored in to.names(VERSIONS) if stored.name != VERSIONS]  # as consoles mark a folder
    times = {}
    for folder in {name.split("/")[1] for name in names} - {version}:
        found = to.find(f"{folder_of(folder)}/{MANIFEST_FILE}")
        times[folder] = found.modified if found else datetime.min.replace(tzinfo=timezone.utc)
    latest = before if before in times else max(times, key=times.__getitem__, default="")
    for old in [folder for folder, time in times.items() if folder != latest and time < until]:
        print(f"removing version {old}", flush=True)
        last = f"{folder_of(old)}/{MANIFEST_FILE}"
        in_parallel(to.remove, [name for name in names if name.startswith(f"{folder_of(old)}/") and name != last])
        to.remove(last)


def _hours(word: str) -> float:
    if not 0 <= float(word) <= _MOST_HOURS:
        raise argparse.ArgumentTypeError(f"{word} is none; give hours, from 0 to {_MOST_HOURS}")
    return float(word)


def main(arguments: list[str] | None = None) -> int:
    """Publish and report; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m build.publish", description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", type=Path, help="bundle folder, as built by make engine")
    parser.add_argument("address", help="s3://bucket/prefix, gs://…, az://… or a folder")
    parser.add_argument("--all", action="store_true", help="upload also what is there: the bucket's files were damaged")
    parser.add_argument(
        "--remove-older", type=_hours, metavar="HOURS",
        help="then remove versions published longer ago than that, but for the last two; default: keep them all",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if not options.address:
        parser.error("say where to: make publish BUNDLE=artifacts/cpu TO=s3://bucket/prefix")
    try:
        publish(options.bundle, open_storage(options.address), everything=options.all, older_hours=options.remove_older)
    except (BuildError, LaunchError, HiggsError) as error:
        print(f"publish: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"publish: {error.strerror or error}: {error.filename or options.bundle}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
