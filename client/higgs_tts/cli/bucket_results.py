"""The results of a batch in a bucket, which any number of batches may fill at a time.

There is no other state: an item is done when its audio file is there and its metadata name the same content.
"""

import json
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from ..storage import AlreadyStoredError, Storage, Stored
from .manifest import Item
from .results import Failed, Result, Spoken

LOOKS = 32  # at a time
TRIES, PAUSE = 5, 1.0  # seconds; where an object comes or goes while it is written
OPTIONS_BYTES = 800  # of the 2,000 that a bucket takes as metadata
# Field of a result, and what reads it from its text.
_FIELDS: dict[str, Any] = {
    "content": str, "sha256": str, "seconds": float, "finish_reason": str, "seed": int, "time_to_first_audio": float,
    "real_time_factor": float, "retries": int, "part_retries": int, "bundle": str,
}  # fmt: skip


class BucketResults(AbstractContextManager["BucketResults"]):
    """Results below one address. Audio files are made in a temporary folder and uploaded whole.

    Two batches never overwrite each other: an object is created where there was none, or replaces the very one that was
    looked at. Failures are remembered until the batch ends.
    few: whether the batch is a small part of what is there: then each file is asked for, and the bucket is not listed.
    """

    is_shared = True

    def __init__(self, storage: Storage, *, few: bool = False) -> None:
        self._storage = storage
        self._few = few
        self._temporary = TemporaryDirectory(prefix="higgs-batch-")
        self.folder = Path(self._temporary.name)
        self._lock = threading.Lock()
        self._items: dict[str, Item] = {}  # by id
        self._seen: dict[str, Stored] = {}  # by file name
        self._latest: dict[str, Result] = {}  # by id
        self._has_company = False

    def look(self, files: Mapping[str, Item]) -> None:
        """Ask for the metadata of what is there of these files. Raises StorageError."""
        self._items = {item.id: item for item in files.values()}
        there = files if self._few else [one.name for one in self._storage.names() if one.name in files]
        with ThreadPoolExecutor(LOOKS) as pool:
            for _ in pool.map(lambda name: self._look_at(files[name], name), there):
                pass

    def latest(self, item: Item) -> Result | None:
        """What is known of the item."""
        return self._latest.get(item.id)

    def done(self, item: Item, file_name: str) -> Spoken | None:
        """What the object's metadata say, if they name the same content."""
        result = self._latest.get(item.id)
        return result if isinstance(result, Spoken) else None

    def taken(self, item: Item, file_name: str) -> bool:
        """Look again, once an item was found taken: until then this batch is alone, and asks nothing."""
        return self._has_company and self._look_at(item, file_name) is not None

    def append(self, result: Result) -> Result | None:
        """Upload the audio file of an item that was spoken. Raises StorageError, and OSError for the file."""
        if isinstance(result, Failed):
            return self._know(result)
        path, item = self.folder / result.file, self._items[result.id]
        metadata = _metadata(item, result)
        try:
            for _ in range(TRIES):
                seen = self._seen.get(result.file)
                try:
                    self._storage.write(result.file, path, metadata, new=seen is None, replaces=seen)
                    return self._know(result)
                except (AlreadyStoredError, FileNotFoundError) as error:
                    reason = str(error)
                other = self._look_at(item, result.file)
                found = self._seen.get(result.file)
                if found is not None and dict(found.metadata) == metadata:
                    return self._know(result)  # only the answer was lost
                if other is not None:
                    self._has_company = True
                    return None
                if found is not None:  # what another batch speaks there is not what this one's manifest says
                    break
                time.sleep(PAUSE)  # it was removed, or is on its way
        finally:
            path.unlink()
        return self._know(Failed(item.id, item.content, AlreadyStoredError.__name__, reason, result.retries))

    def __exit__(self, *error: object) -> None:
        self._temporary.cleanup()

    def _know(self, result: Result) -> Result:
        with self._lock:
            self._latest[result.id] = result
        return result

    def _look_at(self, item: Item, file_name: str) -> Spoken | None:
        """What is known of the object now, if it is about the same content."""
        found = self._storage.find(file_name)
        with self._lock:
            if found is None:
                self._seen.pop(file_name, None)
                return None
            self._seen[file_name] = found
        spoken = _spoken(item, found)
        if spoken is not None:
            self._know(spoken)
        return spoken


def _metadata(item: Item, result: Spoken) -> dict[str, str]:
    """All that is known of the item's audio; a value that is None is left out."""
    options = {key: value for key, value in item.params.to_options().items() if key != "seed"}
    values = {name: getattr(result, name) for name in _FIELDS}
    values |= {"text_sha256": _digest(item.text), "voice": item.voice}
    if item.reference is not None:
        values |= {"reference_sha256": item.reference.sha256}
    if options:
        text = json.dumps(options, sort_keys=True, ensure_ascii=False)
        name = "options" if len(quote(text)) <= OPTIONS_BYTES else "options_sha256"
        values[name] = text if name == "options" else _digest(text)
    return {key.replace("_", "-"): str(value) for key, value in values.items() if value not in (None, "")}


def _spoken(item: Item, found: Stored) -> Spoken | None:
    """The result that the metadata tell; None for another content or of something else."""
    told = {key.replace("-", "_"): value for key, value in found.metadata.items()}
    if told.get("content") != item.content:
        return None
    values: dict[str, Any] = dict.fromkeys(("seed", "time_to_first_audio", "real_time_factor"))
    try:
        values |= {name: kind(told[name]) for name, kind in _FIELDS.items() if name in told}
        return Spoken(id=item.id, file=found.name, **values)
    except (TypeError, ValueError):
        return None


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
