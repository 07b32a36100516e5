"""What became of a batch's items, and where that is kept: here `results.jsonl` in the folder of the audio.

One line is appended for each finished item. An item is done when its latest line says so for the same content and its
audio file is the one the line describes, byte for byte. Anything that a kill, a full disk or a power cut left
half-written fails that test and is made again; nothing else is.
"""

import fcntl
import json
import os
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from ..errors import HiggsError
from ..pcm import remove_partials
from ..speech import FinishReason
from .manifest import Item

RESULTS = "results.jsonl"
READ_BLOCK = 1 << 20


@dataclass(frozen=True)
class Spoken:
    """An item whose audio file is complete."""

    id: str
    content: str  # of the item
    file: str  # name in the batch's folder
    sha256: str  # of the file
    seconds: float  # of audio
    finish_reason: FinishReason
    seed: int | None  # None: the server's choice
    time_to_first_audio: float | None  # seconds from sending the request that succeeded; None without a sample
    real_time_factor: float | None  # seconds of waiting per second of audio; None without a sample
    retries: int  # attempts before the one that succeeded
    part_retries: int = 0  # attempts at parts of it that the server threw away within that one
    bundle: str = ""  # the server's, by a word that another bundle does not have


@dataclass(frozen=True)
class Failed:
    """An item given up for now."""

    id: str
    content: str  # of the item
    error: str  # class of the last attempt's error
    message: str
    retries: int  # attempts after the first


Result = Spoken | Failed


class Output(Protocol):
    """Where a batch's results go. Safe to use from any thread, but for `look`.

    folder: where audio files are made. is_shared: whether other batches may write there meanwhile.
    """

    folder: Path
    is_shared: bool

    def look(self, files: Mapping[str, Item]) -> None:
        """Learn what is there of the items, by the names of their audio files; called first, and once."""

    def latest(self, item: Item) -> Result | None:
        """What is known of the item, if it is about the same content."""

    def done(self, item: Item, file_name: str) -> Spoken | None:
        """The result of an item that needs no more work."""

    def taken(self, item: Item, file_name: str) -> bool:
        """Whether another batch has spoken the item since. Raises StorageError."""

    def append(self, result: Result) -> Result | None:
        """Keep a result, the audio file with it; None where another batch was first. Raises OSError, StorageError."""


class Results(AbstractContextManager["Results"]):
    """The journal of one folder, which is created when missing and belongs to one process at a time.

    Raises OSError when the folder cannot be written, HiggsError when another batch runs in the folder or a line is
    not a result.
    """

    is_shared = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / RESULTS
        folder.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        self._lock = threading.Lock()
        try:
            self._claim()
            self._latest = self._read()
        except BaseException:
            os.close(self._descriptor)
            raise

    def look(self, files: Mapping[str, Item]) -> None:
        """Remove any half-written files that a killed batch left."""
        remove_partials(self.folder, files.keys())

    def latest(self, item: Item) -> Result | None:
        """What the last line about this item says, if it is about the same content."""
        result = self._latest.get(item.id)
        return result if result is not None and result.content == item.content else None

    def done(self, item: Item, file_name: str) -> Spoken | None:
        """The result of an item that needs no more work. Reads its audio file."""
        result = self.latest(item)
        if isinstance(result, Spoken) and result.file == file_name:
            try:
                return result if file_sha256(self.folder / file_name) == result.sha256 else None
            except FileNotFoundError:
                return None
        return None

    def taken(self, item: Item, file_name: str) -> bool:
        """Never: the folder is ours."""
        return False

    def append(self, result: Result) -> Result:
        """Write one line, whole or not at all. Safe to use from any thread. Raises OSError."""
        line = json.dumps(asdict(result), ensure_ascii=False).encode() + b"\n"
        with self._lock:
            end = os.fstat(self._descriptor).st_size
            try:
                rest = memoryview(line)
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            except OSError as error:
                os.ftruncate(self._descriptor, end)
                raise OSError(error.errno, error.strerror, str(self.path)) from None
            self._latest[result.id] = result
        return result

    def __exit__(self, *error: object) -> None:
        os.close(self._descriptor)

    def _claim(self) -> None:
        try:
            # Released when the process ends, however it ends.
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HiggsError(f"Another batch is writing into {self.folder}; wait for it or give another.") from None

    def _read(self) -> dict[str, Result]:
        """The last result of each id. Cuts off an incomplete last line, which a crash left."""
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.ftruncate(self._descriptor, whole)
        latest: dict[str, Result] = {}
        for number, line in enumerate(content[:whole].split(b"\n")[:-1], start=1):
            try:
                result = _result(line)
            except (ValueError, TypeError):
                raise HiggsError(
                    f"{self.path}, line {number}: is no result of this version's `batch`; "
                    "remove the line to have its item spoken again, or give another folder."
                ) from None
            latest[result.id] = result
        return latest


def file_sha256(path: Path) -> str:
    """Hexadecimal digits of the file's content. Raises OSError."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(READ_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _result(line: bytes) -> Result:
    """Raises ValueError or TypeError for anything but the JSON of a result."""
    record = json.loads(line)
    if not isinstance(record, dict) or not isinstance(record.get("id"), str):
        raise TypeError
    return Failed(**record) if "error" in record else Spoken(**record)
