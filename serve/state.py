"""The state folder: what a server keeps from one run to the next, such as added voices. One variable names it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

STATE_VARIABLE = "HIGGS_STATE_DIR"


def default_state(bundle: Path) -> Path:
    """The folder HIGGS_STATE_DIR names, else one beside the bundle, which may itself be read-only or rebuilt."""
    named = os.environ.get(STATE_VARIABLE)
    bundle = bundle.absolute()
    return Path(named) if named else bundle.with_name(f"{bundle.name}.state")


def prepare_state(state: Path) -> str | None:
    """Make the folder; returns None, or one sentence that says what the server cannot do without it.

    The server then still speaks in the voices of its bundle and in those the folder already holds.
    """
    try:
        state.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=state):
            return None
    except OSError as error:
        return (
            f"the state folder {state} cannot be written ({error.strerror}): voices cannot be added, and codes of "
            "reference clips are kept in memory only; name another folder with --state"
        )
