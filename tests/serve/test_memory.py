"""Which bound on the memory counts, and what is begun when it is nearly reached."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from runtime.formats.errors import MemoryExhaustionError
from runtime.triton.memory import LONG_FRAMES, MEMORY_VARIABLE, Memory

MIB = 2**20


@pytest.fixture(autouse=True)
def by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MEMORY_VARIABLE)


def group(folder: Path, names: tuple[str, ...], limit: str, used: int, cached: int) -> None:
    """A control group's files: what the limit, the use and the cached shares are called, and what they say."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(
        f"anon 5\n{names[2]} {cached - cached // 4}\n{names[3]} {cached // 4}\nslab 7\n"
    )


V2 = ("memory.max", "memory.current", "inactive_file", "active_file")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "total_active_file")


def memory(tmp_path: Path, own: str) -> Memory:
    (tmp_path / "own").write_text(own)
    return Memory(tmp_path / "tree", tmp_path / "own")


def test_without_limits_the_machines_memory_counts(tmp_path: Path) -> None:
    machine = psutil.virtual_memory()
    assert memory(tmp_path, "").used() == pytest.approx(1 - machine.available / machine.total, abs=0.05)
    assert Memory(tmp_path / "none", tmp_path / "neither").used() < 1


@pytest.mark.parametrize(
    ("names", "tree", "own"),
    [(V2, "", "0::/pod/container\n"), (V1, "memory", "9:pids:/x\n4:cpu,memory:/pod/container\n0::/\n")],
    ids=["version 2", "version 1"],
)
def test_the_tightest_control_group_counts_without_cached_files(
    tmp_path: Path, names: tuple[str, ...], tree: str, own: str
) -> None:
    pod = tmp_path / "tree" / tree / "pod"
    group(pod, names, str(1000 * MIB), used=970 * MIB, cached=20 * MIB)
    group(pod / "container", names, str(500 * MIB), used=480 * MIB, cached=80 * MIB)
    group(tmp_path / "tree" / tree, names, "max" if names is V2 else str(2**63 - 4096), used=0, cached=0)
    measured = memory(tmp_path, own)
    assert measured.used() == pytest.approx(0.95)
    group(pod, names, str(1000 * MIB), used=500 * MIB, cached=20 * MIB)
    assert measured.used() == pytest.approx(0.8)


def test_in_a_container_the_group_may_be_the_root(tmp_path: Path) -> None:
    group(tmp_path / "tree", V2, str(100 * MIB), used=99 * MIB, cached=0)
    assert memory(tmp_path, "0::/\n").used() == pytest.approx(0.99)


def test_a_group_that_goes_away_says_nothing_more(tmp_path: Path) -> None:
    group(tmp_path / "tree", V2, str(100 * MIB), used=99 * MIB, cached=0)
    measured = memory(tmp_path, "0::/\n")
    (tmp_path / "tree" / "memory.current").unlink()
    assert measured.used() < 0.99


def test_the_address_space_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = psutil.Process().memory_info().vms
    monkeypatch.setattr(resource, "getrlimit", lambda which: (int(size / 0.97), 2**62))
    assert memory(tmp_path, "").used() == pytest.approx(0.97, abs=0.02)


@pytest.mark.parametrize(
    ("used", "thresholds", "short", "long"),
    [
        (0.5, "", True, True),
        (0.85, "", True, False),
        (0.95, "", False, False),
        (0.95, "0.97:0.99", True, True),
        (0.99, "1:1", True, True),
    ],
)
def test_what_may_be_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, used: float, thresholds: str, short: bool, long: bool
) -> None:
    if thresholds:
        monkeypatch.setenv(MEMORY_VARIABLE, thresholds)
    # So small a group that the machine's own memory does not count beside it.
    group(tmp_path / "tree", V2, "1000", used=int(1000 * used), cached=0)
    measured = memory(tmp_path, "0::/\n")
    for frames, may in ((0, short), (LONG_FRAMES, short), (LONG_FRAMES + 1, long)):
        if may:
            measured.check(frames)
        else:
            with pytest.raises(MemoryExhaustionError, match=f"{used:.0%} of the memory is in use.*try again in 5 s"):
                measured.check(frames)


def test_what_a_stream_will_take_counts(tmp_path: Path) -> None:
    group(tmp_path / "tree", V2, str(100 * MIB), used=70 * MIB, cached=0)
    measured = memory(tmp_path, "0::/\n")
    measured.check(nbytes=15 * MIB)
    with pytest.raises(
        MemoryExhaustionError,
        match="95% of the memory would be in use with the 25 MiB that it needs, and what others still take, so nothing",
    ):
        measured.check(nbytes=25 * MIB)


def test_so_does_what_those_before_it_were_promised(tmp_path: Path) -> None:
    """Streams that begin in the same instant have taken nothing yet when the next one asks."""
    group(tmp_path / "tree", V2, str(100 * MIB), used=70 * MIB, cached=0)
    measured = memory(tmp_path, "0::/\n")
    begun = []
    for name in "abc":
        with suppress(MemoryExhaustionError):
            measured.check(nbytes=8 * MIB)
            measured.promise(name, 8 * MIB)
            begun.append(name)
    assert begun == ["a", "b"]
    measured.promise("a", 1 * MIB)  # the rest is in use, or nobody's any more
    measured.check(nbytes=8 * MIB)
    measured.promise("a", 8 * MIB)
    measured.promise("b", 0)
    measured.check(nbytes=8 * MIB)


@pytest.mark.parametrize("thresholds", ["0.8", "a:b", "0.9:0.8", "0:0.5", "80:90"])
def test_thresholds_that_are_none_are_refused(monkeypatch: pytest.MonkeyPatch, thresholds: str) -> None:
    monkeypatch.setenv(MEMORY_VARIABLE, thresholds)
    with pytest.raises(ValueError, match=MEMORY_VARIABLE):
        Memory()
