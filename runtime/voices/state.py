"""The state folder: what a server keeps from one run to the next. Its launcher names it in HIGGS_STATE_DIR.

`voices/` holds added voice profiles (`profile_folder.py`), `codes/` the codes of reference clips (`code_files.py`),
those of profiles among them.
"""

from __future__ import annotations

import os
from pathlib import Path

STATE_VARIABLE = "HIGGS_STATE_DIR"
VOICES_VARIABLE = "HIGGS_VOICES"
READ_ONLY = "read-only"


def state_directory() -> Path | None:
    """The folder, which may be missing or read-only; None when the server was given none."""
    value = os.environ.get(STATE_VARIABLE)
    return Path(value) if value else None


def voices_are_read_only() -> bool:
    """Whether the operator keeps the voices from clients: they may use them, and not add, replace or remove any."""
    return os.environ.get(VOICES_VARIABLE) == READ_ONLY
