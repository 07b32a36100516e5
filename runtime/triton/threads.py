"""With how many threads the networks compute on a CPU: as the operator says, else as the bundle's settings do."""

from __future__ import annotations

import os

LM_VARIABLE, CODEC_VARIABLE = "HIGGS_LM_THREADS", "HIGGS_CODEC_THREADS"


def threads(variable: str, settled: int) -> int:
    """The number in the environment, or `settled`. Raises ValueError for what is no number of threads."""
    written = os.environ.get(variable)
    if not written:
        return settled
    if not written.isdecimal() or int(written) < 1:
        raise ValueError(f"{variable} is {written!r}; give a number of threads, 1 or more")
    return int(written)
