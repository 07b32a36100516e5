"""Triton's log: kept for one run more, and searched for the line that says why a start failed."""

from __future__ import annotations

import re
from pathlib import Path

_PREFIX = re.compile(r"^[EWIF]\d{4} [\d:.]+ \d+ \S+\] ")
_FAILED_MODEL = re.compile(r"^E\d{4} .*failed to load '(?P<model>[^']+)' version \d+: (?P<reason>.*)")
_COMPLAINTS = (
    re.compile(r"^E\d{4} .*(address|socket|port|bind|listen)", re.IGNORECASE),
    re.compile(r"^error: "),
    re.compile(r"^[EF]\d{4} "),
)
# Triton says these on every machine without a GPU.
_HARMLESS = ("CudaDriverHelper has not been initialized",)


def put_aside(log: Path) -> None:
    """Rename the log of the run before to <name>.previous, so that a restart does not erase why it was needed."""
    if log.is_file() and not log.is_symlink():
        log.replace(log.with_name(log.name + ".previous"))


def failure(log: Path) -> str:
    """One line: which model failed to load and why, else Triton's own complaint, else the last line it printed."""
    text = log.read_text(errors="replace") if log.is_file() else ""
    lines = [line for line in text.splitlines() if line.strip() and not any(known in line for known in _HARMLESS)]
    for line in lines:
        if match := _FAILED_MODEL.match(line):
            # What follows is Python's traceback, in which line ends are written as \n.
            reason = match["reason"].split(r"\n")[0]
            return f"model {match['model']} failed to load: {_short(reason)}"
    for pattern in _COMPLAINTS:
        for line in lines:
            if pattern.match(line):
                return _short(line)
    return _short(lines[-1]) if lines else "it printed nothing"


def _short(line: str) -> str:
    return _PREFIX.sub("", line).strip().strip('"')[:500]
