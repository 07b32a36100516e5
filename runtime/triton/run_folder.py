"""The folder of one run of the server, which its launcher makes, names in HIGGS_RUN_DIR and removes."""

from __future__ import annotations

import os
from pathlib import Path

RUN_VARIABLE = "HIGGS_RUN_DIR"


def run_folder() -> Path | None:
    """The folder; None when the server has none."""
    value = os.environ.get(RUN_VARIABLE)
    return Path(value) if value else None
