"""Codes of reference clips: each clip encoded once, across restarts, threads and processes; damage is only a miss."""

from __future__ import annotations

import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.codec.code_cache import CodeCache
from runtime.voices.code_files import CodeFiles, clip_digest, codes_key
from tests.voices.conftest import Run

MIB = 2**20
# Encodes the clip that its number names, slowly, and says so in a file; argv: folder, file, number of the clip.
ENCODER = """
import sys, time
from pathlib import Path
import numpy as np
from runtime.codec.code_cache import CodeCache
from runtime.voices.code_files import CodeFiles, clip_digest, codes_key

folder, log, number = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
def encode():
    with log.open("a") as file:
        print("encoding", file=file)
    time.sleep(1.0)
    return np.full((8, 50), number, np.int32)

cache = CodeCache(16, CodeFiles(folder, 2**20), lambda source: None)
print("ready", flush=True)
key = codes_key("codec", clip_digest(np.full(960, number / 10, np.float32)))
print(cache.codes(key, encode).sum(), flush=True)
"""


class Encoder:
    """Stands in for the network: tells a clip's codes from its samples, and counts its calls."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.calls, self._seconds = 0, seconds

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        self.calls += 1
        time.sleep(self._seconds)
        return np.full((8, len(samples) // 960), int(samples[0] * 100), np.int32)


class Codec:
    """A cache as the model `codec_encoder` has it, started anew over the same folder as often as one likes."""

    def __init__(self, folder: Path | None, max_entries: int = 16, max_bytes: int = MIB, name: str = "codec") -> None:
        self.sources: Counter[str] = Counter()
        self.encoder = Encoder()
        self._name = name
        files = CodeFiles(folder, max_bytes) if folder else None
        self._cache: Any = CodeCache(max_entries, files, lambda source: self.sources.update([source]))

    def codes(self, samples: np.ndarray) -> np.ndarray:
        return self._cache.codes(self._key(samples), lambda: self.encoder(samples))

    def remembered(self, *clips: np.ndarray) -> list[np.ndarray] | None:
        return self._cache.remembered([self._key(samples) for samples in clips])

    def _key(self, samples: np.ndarray) -> str:
        return codes_key(self._name, clip_digest(samples))


def clip(number: int, frames: int = 50) -> np.ndarray:
    return np.full(frames * 960, number / 100 + 0.001, np.float32)


def test_a_clip_is_encoded_once_and_found_after_a_restart(tmp_path: Path) -> None:
    before = Codec(tmp_path / "codes")
    first, again = before.codes(clip(7)), before.codes(clip(7).copy())
    assert before.encoder.calls == 1
    after = Codec(tmp_path / "codes")
    for found in (again, after.codes(clip(7)), after.codes(clip(7))):
        np.testing.assert_array_equal(found, first)
        assert found.dtype == np.int32
    assert after.encoder.calls == 0
    assert after.sources == {"disk": 1, "memory": 1}
    assert before.sources == {"encoder": 1, "memory": 1}


def test_other_samples_another_length_and_another_codec_are_other_clips(tmp_path: Path) -> None:
    codec = Codec(tmp_path)
    for samples in (clip(1), clip(2), clip(1, frames=51)):
        np.testing.assert_array_equal(codec.codes(samples), Encoder()(samples))
    assert codec.sources == {"encoder": 3}
    other = Codec(tmp_path, name="another codec")
    other.codes(clip(1))
    assert other.sources == {"encoder": 1}


@pytest.mark.parametrize("damage", ["torn", "empty", "flipped", "header", "longer"])
def test_a_damaged_file_is_a_miss_and_is_written_anew(tmp_path: Path, damage: str) -> None:
    expected = Codec(tmp_path).codes(clip(3))
    (file,) = tmp_path.glob("*.codes")
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    broken = {
        "torn": whole[: len(whole) // 2],
        "empty": b"",
        "flipped": bytes(flipped),
        "header": b"\0" * 8 + whole[8:],
        "longer": whole + b"\0\0\0\0",
    }
    file.write_bytes(broken[damage])
    codec = Codec(tmp_path)
    np.testing.assert_array_equal(codec.codes(clip(3)), expected)
    assert codec.sources == {"encoder": 1}
    assert file.read_bytes() == whole


def test_the_longest_unused_go_when_the_folder_is_full(tmp_path: Path) -> None:
    Codec(tmp_path).codes(clip(0))
    size = next(tmp_path.glob("*.codes")).stat().st_size
    codec = Codec(tmp_path, max_bytes=4 * size)
    for number in (1, 2, 3):
        codec.codes(clip(number))
        time.sleep(0.02)  # file systems tell times apart by some milliseconds
    Codec(tmp_path).codes(clip(0))  # of use again: the oldest is now clip 1
    time.sleep(0.02)
    codec.codes(clip(4))
    assert len(list(tmp_path.glob("*.codes"))) == 4
    left = Codec(tmp_path)
    for number in (0, 2, 3, 4):
        left.codes(clip(number))
    assert left.sources == {"disk": 4}
    left.codes(clip(1))
    assert left.sources["encoder"] == 1


def test_what_a_killed_writer_left_goes_in_time(tmp_path: Path) -> None:
    codec = Codec(tmp_path)
    old, fresh = tmp_path / ".tmpold", tmp_path / ".tmpfresh"
    for file in (old, fresh):
        file.write_bytes(b"half")
    os.utime(old, (1, 1))
    codec.codes(clip(1))
    assert not old.exists()
    assert fresh.exists(), "somebody may be writing it"


def test_requests_that_bring_the_same_clip_at_once_wait_for_one_encoding() -> None:
    codec = Codec(None)
    codec.encoder = Encoder(seconds=0.3)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: codec.codes(clip(5)), range(8)))
    assert codec.encoder.calls == 1
    assert codec.sources == {"encoder": 1, "memory": 7}
    for codes in found:
        np.testing.assert_array_equal(codes, found[0])


def test_processes_that_bring_the_same_clip_at_once_encode_it_once(tmp_path: Path, run: Run) -> None:
    log = tmp_path / "log"
    processes = [run(ENCODER, tmp_path / "codes", log, 3) for _ in range(4)]
    answers = [process.communicate(timeout=120) for process in processes]
    assert [answer for answer, _ in answers] == ["ready\n1200\n"] * 4, answers
    assert log.read_text() == "encoding\n"


def test_a_claim_falls_with_its_process(tmp_path: Path, run: Run) -> None:
    log = tmp_path / "log"
    first = run(ENCODER, tmp_path / "codes", log, 3)
    deadline = time.monotonic() + 60
    while not (log.exists() and log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.01)
    first.kill()
    answer, errors = run(ENCODER, tmp_path / "codes", log, 3).communicate(timeout=120)
    assert answer == "ready\n1200\n", errors
    assert log.read_text() == "encoding\n" * 2


def test_an_encoder_that_fails_is_asked_again() -> None:
    codec = Codec(None)

    def fail(samples: np.ndarray) -> np.ndarray:
        raise RuntimeError("out of memory")

    working, codec.encoder = codec.encoder, fail  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="out of memory"):
        codec.codes(clip(1))
    codec.encoder = working
    np.testing.assert_array_equal(codec.codes(clip(1)), Encoder()(clip(1)))


def test_without_a_folder_the_longest_unused_go_from_memory() -> None:
    codec = Codec(None, max_entries=2)
    for number in (1, 2, 1, 3, 1, 2):
        codec.codes(clip(number))
    assert codec.sources == {"encoder": 4, "memory": 2}


def test_a_disk_that_refuses_costs_only_the_cache(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    codec = Codec(blocked / "codes")
    for _ in range(2):
        np.testing.assert_array_equal(codec.codes(clip(1)), Encoder()(clip(1)))
    assert codec.sources == {"encoder": 1, "memory": 1}
    assert "kept in memory only" in caplog.text


def test_several_clips_are_remembered_together_or_not_at_all() -> None:
    codec = Codec(None)
    first, second = codec.codes(clip(1)), codec.codes(clip(2))
    found = codec.remembered(clip(1), clip(2))
    assert found is not None
    for codes, expected in zip(found, (first, second), strict=True):
        np.testing.assert_array_equal(codes, expected)
    assert codec.sources["memory"] == 2
    assert codec.remembered(clip(1), clip(3)) is None
    assert codec.sources["memory"] == 2, "what waits for another clip is counted when it is handed out"
