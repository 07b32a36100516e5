"""Large files: shared between two places, stored on the disk once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def place(source: Path, destination: Path) -> None:
    """Link a file to another place where the file system allows it, copy it elsewhere."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, destination)
    except OSError:
        shutil.copyfile(source, destination)
