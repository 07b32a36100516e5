"""Triton's log: kept for one more run, and searched for the line that says why a start failed."""

from __future__ import annotations

import fcntl
import itertools
import re
from pathlib import Path
from typing import BinaryIO

_PREFIX = re.compile(r"^[EWIF]\d{4} [\d:.]+ \d+ \S+\] ")
_FAILED_MODEL = re.compile(r"^E\d{4} .*failed to load '(?P<model>[^']+)' version \d+: (?P<reason>.*)")
_DIED = re.compile(r"Stub process '.*' is not healthy")
_COMPLAINTS = (
    re.compile(r".*(Too many open files|No space left on device|Cannot allocate memory|Read-only file system)"),
    re.compile(r"^E\d{4} .*(address|socket|port|bind|listen)", re.IGNORECASE),
    re.compile(r"^error: "),
    re.compile(r"^[EF]\d{4} "),
)
# Triton logs these on every machine without a GPU; the last one is meaningful on a machine that has one.
_HARMLESS = ("CudaDriverHelper has not been initialized", "initialize NVML", "DCGM", "Signal (", "CUDA driver version")
# A start that fails spuriously on a machine under load: github.com/triton-inference-server/server/issues/8882.
_BAD_LUCK = "boost::interprocess::lock_exception"


def open_log(log: Path) -> tuple[Path, BinaryIO]:
    """A new log and its name: `log` or, if another server still writes that one, a numbered one beside it.

    The log of the previous run is kept as <name>.previous, so that a restart does not erase the reason for it.
    The open file that a child process inherits tells later calls that the log is in use.

    Raises OSError: it cannot be written.
    """
    if log.is_symlink() or (log.exists() and not log.is_file()):
        return log, log.open("ab")  # such as /dev/stdout: nothing to keep, and not exclusive
    for name in itertools.chain([log], (log.with_stem(f"{log.stem}-{number}") for number in itertools.count(2))):
        output = name.open("ab")
        if _claimed(output) and name.stat().st_size:
            name.replace(name.with_name(name.name + ".previous"))
            output.close()
            output = name.open("ab")
        if _claimed(output):
            return name, output
        output.close()
    raise AssertionError


def _claimed(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks
    return True


def may_be_tried_again(log: Path) -> bool:
    """Whether the start failed for a transient reason."""
    return _BAD_LUCK in _text(log)


def failure(log: Path, on_gpu: bool = False) -> str:
    """One line: which model failed to load and why, else Triton's own complaint, else the last line it printed."""
    harmless = _HARMLESS[: -1 if on_gpu else None]
    lines = [line for line in _text(log).splitlines() if line.strip() and not any(word in line for word in harmless)]
    for line in lines:
        if match := _FAILED_MODEL.match(line):
            # What follows is Python's traceback, in which line ends are written as \n.
            reason = match["reason"].split(r"\n")[0]
            if _DIED.search(reason):
                reason = "its process ended, perhaps out of memory"
            return f"model {match['model']} failed to load: {_short(reason)}"
    for pattern in _COMPLAINTS:
        for line in lines:
            if pattern.match(line):
                return _short(line)
    return _short(lines[-1]) if lines else "it printed nothing"


def _text(log: Path) -> str:
    return log.read_text("utf-8", errors="replace") if log.is_file() else ""


def _short(line: str) -> str:
    return _PREFIX.sub("", line).strip().strip('"')[:500]
