"""Folders of voices that lie here or in a bucket: read from a copy, written as a copy that is then sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import soundfile
import yaml

from ..buckets import is_address, open_storage
from ..errors import InvalidRequestError
from ..voices import VoiceProfile
from .voice_folder import AUDIO_EXTENSIONS, DESCRIBED, LISTED, read_metadata, read_voice_folder

_READ = (*AUDIO_EXTENSIONS, ".txt", ".json", ".yaml")


@dataclass
class VoiceShelf:
    """A folder to write voices into, which holds those of `there` already."""

    folder: Path
    there: set[str]
    stale: set[str] = field(default_factory=set)  # files of voices that were replaced
    _descriptions: dict[str, str | None] = field(default_factory=dict)  # None: it has a clip now

    def put(self, voice: VoiceProfile) -> None:
        """Write a voice as `read_voice_folder` reads it, its samples as they are.

        Raises InvalidRequestError for one without a clip, OSError.
        """
        name, metadata = voice.name, dict(voice.metadata)
        if name != Path(name).name or (metadata and f"{name}.json" == LISTED):
            raise InvalidRequestError(f"Voice {name} has a name that stands for something else in a folder of voices.")
        if voice.audio_path is not None and voice.samples is None:
            raise InvalidRequestError(f"The clip of voice {name} is lost; the server has only its codes.")
        for ending in (*AUDIO_EXTENSIONS, ".txt", ".json"):
            if f"{name}{ending}" != LISTED:
                (self.folder / f"{name}{ending}").unlink(missing_ok=True)
                self.stale.add(f"{name}{ending}")
        self._descriptions[name] = metadata.pop("description") if voice.audio_path is None else None
        if metadata:
            text = json.dumps(metadata, ensure_ascii=False, indent=1)
            (self.folder / f"{name}.json").write_text(f"{text}\n", "utf-8")
        if voice.samples is not None:
            (self.folder / f"{name}.txt").write_text(f"{voice.transcript}\n", "utf-8")
            soundfile.write(self.folder / f"{name}.wav", voice.samples, voice.sample_rate, subtype="FLOAT")

    def close(self) -> None:
        """Write down the voices that are described in words, beside those that were there."""
        file = self.folder / DESCRIBED
        known = yaml.safe_load(file.read_text("utf-8"))["profiles"] if file.is_file() else {}
        found = {name: words for name, words in {**known, **self._descriptions}.items() if words is not None}
        if found != known:
            file.write_text(yaml.safe_dump({"profiles": found}, allow_unicode=True), "utf-8")


@contextmanager
def voices_of(place: str) -> Iterator[Path]:
    """A folder with what is at a path or address. Raises HiggsError, OSError."""
    if not is_address(place):
        yield Path(place)
        return
    storage = open_storage(place)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for stored in storage.names():
            if Path(stored.name).suffix.lower() in _READ:
                (folder / stored.name).parent.mkdir(parents=True, exist_ok=True)
                storage.fetch(stored.name, folder / stored.name)
        if not any(folder.iterdir()):
            raise InvalidRequestError(f"There are no voices at {place}.")
        yield folder


@contextmanager
def shelf_at(place: str) -> Iterator[VoiceShelf]:
    """Somewhere to put voices, a path or an address. They are there when the block ends. Raises HiggsError, OSError."""
    if not is_address(place):
        folder = Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        shelf = VoiceShelf(folder, {voice.name for voice in read_voice_folder(folder)})
        yield shelf
        shelf.close()
        return
    storage = open_storage(place)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        there = {stored.name for stored in storage.names() if "/" not in stored.name}  # what import reads
        for name in {DESCRIBED, LISTED} & there:
            storage.fetch(name, folder / name)
        listed = read_metadata(folder / LISTED).keys() if LISTED in there else ()
        (folder / LISTED).unlink(missing_ok=True)
        described = {voice.name for voice in read_voice_folder(folder)}
        clips = {Path(name).stem for name in there if Path(name).suffix.lower() in AUDIO_EXTENSIONS}
        shelf = VoiceShelf(folder, {*described, *clips, *listed})
        yield shelf
        shelf.close()
        files = sorted(shelf.folder.iterdir(), key=lambda file: file.suffix in AUDIO_EXTENSIONS)
        for file in files:  # clips last: a clip without its words is no voice
            storage.write(file.name, file)
        for name in shelf.stale & there - {file.name for file in files}:
            storage.remove(name)
