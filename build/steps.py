"""Costly steps of a build: each runs once, in its own folder, and again when its inputs change."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

RECORD_FILE = "step.json"


@dataclass(frozen=True)
class Step:
    """A folder of files and how it is made.

    `make` writes everything into an empty folder it is given; `fingerprint` stands for all it depends on.
    """

    title: str
    directory: Path
    fingerprint: str
    make: Callable[[Path], None]

    def is_done(self) -> bool:
        """Whether the folder was made from exactly this, and every file still exists with its size."""
        try:
            record = json.loads((self.directory / RECORD_FILE).read_text())
            return record["fingerprint"] == self.fingerprint and all(
                (self.directory / name).stat().st_size == size for name, size in record["files"].items()
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def run(self) -> None:
        """Run the step unless it is done. A failed step leaves the previous folder, and nothing unfinished."""
        if self.is_done():
            return
        print(f"{self.title}: begun at {time.strftime('%H:%M:%S')}", flush=True)
        started = time.monotonic()
        fresh = self.directory.with_name(self.directory.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        try:
            self.make(fresh)
            seconds = time.monotonic() - started
            sizes = {str(f.relative_to(fresh)): f.stat().st_size for f in sorted(fresh.rglob("*")) if f.is_file()}
            record = {"fingerprint": self.fingerprint, "seconds": round(seconds, 1), "files": sizes}
            (fresh / RECORD_FILE).write_text(json.dumps(record, indent=2) + "\n")
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        shutil.rmtree(self.directory, ignore_errors=True)
        fresh.rename(self.directory)
        print(f"{self.title}: done in {seconds:.0f} s, {sum(sizes.values()) / 1e9:.2f} GB", flush=True)

    @property
    def seconds(self) -> float | None:
        """How long it took when it was made; None before."""
        try:
            return float(json.loads((self.directory / RECORD_FILE).read_text())["seconds"])
        except (OSError, ValueError, KeyError):
            return None
