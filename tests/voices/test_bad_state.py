"""A state folder in a bad way: full, locked by another, or with pipes where files should be. Speech goes on."""

from __future__ import annotations

import fcntl
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runtime.formats.errors import MemoryExhaustionError, StateError, classify, is_out_of_memory
from runtime.voices import profile_folder
from tests.voices.conftest import Run
from tests.voices.stores import OPEN, add, names, open_store


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file may get larger, as on a disk with no more room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 100, 10_000], ids=["nothing", "a header", "a part of the clip"])
def test_a_full_disk_is_said_and_leaves_what_was_there(folders: Any, size: int) -> None:
    store = open_store(folders)
    add(store, "there")
    before = sorted(folders[1].iterdir())
    with room_for(size), pytest.raises(StateError, match=r"'more' cannot be kept: .*File too large"):
        add(store, "more")
    assert sorted(folders[1].iterdir()) == before
    assert names(store) == ["there", "tone"]
    add(store, "more")


def test_a_lock_that_another_process_keeps_is_said_and_voices_still_speak(
    folders: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile_folder, "_LOCK_SECONDS", 0.1)
    store = open_store(folders)
    add(store, "there")
    with (folders[1] / ".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        store.sweep()  # as at the start of a server, which must not wait
        with pytest.raises(StateError, match=r"'more' cannot be kept: .*another process holds \.lock"):
            add(store, "more")
        with pytest.raises(StateError, match=r"'there' cannot be removed: .*another process holds \.lock"):
            store.remove("there")
        assert names(store) == ["there", "tone"]
        assert store.load("there")[0].name == "there"
    add(store, "more")


def speak(run: Run, folders: Any) -> str:
    """What a process of its own says of its voices, which would wait for ever at a pipe."""
    asked = run(
        f"""{OPEN}
print([profile.name for profile in store.profiles()])
for act in (lambda: store.load("mine"), lambda: store.add("more", clip(0.5), "more", {{}}, True)):
    try:
        act()
    except Exception as error:
        print(f"{{type(error).__name__}}: {{error}}")
""",
        *folders,
    )
    said, errors = asked.communicate(timeout=60)
    assert asked.returncode == 0, errors
    return str(said)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("*.profile.json", "['tone']\nInvalidRequestError: voice 'mine' is unknown"),
        ("*.wav", "['mine', 'tone']\nAudioFormatError: the voice's clip"),
        (".lock", "['mine', 'tone']\nStateError: voice 'more' cannot be kept"),
    ],
)
def test_a_pipe_in_the_place_of_a_file_holds_nobody_up(folders: Any, run: Run, pattern: str, said: str) -> None:
    add(open_store(folders), "mine")
    (file,) = folders[1].glob(pattern)
    file.unlink()
    os.mkfifo(file)
    assert speak(run, folders).startswith(said)


def test_a_pipe_in_the_place_of_codes_is_a_miss(tmp_path: Path, run: Run) -> None:
    for name in (".lock-ab", "ab.codes"):
        os.mkfifo(tmp_path / name)
    code = """
import sys
from pathlib import Path
import numpy as np
from runtime.codec.code_cache import CodeCache
from runtime.voices.code_files import CodeFiles
cache = CodeCache(16, CodeFiles(Path(sys.argv[1]), 2**20), print)
print(cache.codes("ab", lambda: np.ones((8, 2), np.int32)).sum())
print(CodeFiles(Path(sys.argv[1]), 2**20).load("ab").sum())
"""
    said, errors = run(code, tmp_path).communicate(timeout=60)
    assert said == "encoder\n16\n16\n", errors


@pytest.mark.parametrize(
    ("error", "lacking"),
    [(MemoryError(), True), (RuntimeError("Failed to allocate memory for requested buffer"), True), (OSError(), False)],
)
def test_a_lack_of_memory_has_its_class(error: Exception, lacking: bool) -> None:
    assert is_out_of_memory(error) == lacking
    assert isinstance(classify(error), MemoryExhaustionError) == lacking
