"""The state folder: what a server keeps from one run to the next. Its launcher names it in HIGGS_STATE_DIR.

`voices/` holds added voice profiles (`profile_folder.py`), `codes/` the codes of reference clips (`code_files.py`),
those of profiles among them.
"""

from __future__ import annotations

import os
from pathlib import Path

STATE_VARIABLE = "HIGGS_STATE_DIR"


def state_directory() -> Path | None:
    """The folder, which may be missing or read-only; None when the server was given none."""
    value = os.environ.get(STATE_VARIABLE)
    return Path(value) if value else None
