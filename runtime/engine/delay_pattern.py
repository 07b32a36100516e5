"""The delay pattern: codebook k of frame f is in column f + k, so that a column is sampled in one step.

Columns are counted from 0; column 0 holds the stream's beginning mark in every codebook. Frames are counted from 1
here, so frame f is complete once column f + num_codebooks - 1 exists. This is NumPy bookkeeping around the model; the
masks applied to logits are in `sampler`.
"""

from __future__ import annotations

import numpy as np

from runtime.engine.types import CodebookLayout


def delayed_columns(frames: int, num_codebooks: int) -> int:
    """How many columns a clip takes: one a frame, two for stream BOS and EOS, num_codebooks - 1 for the delay."""
    return frames + 2 + num_codebooks - 1


def delay(codes: np.ndarray, layout: CodebookLayout) -> np.ndarray:
    """Lay a clip out as prompt columns: mark, codes, end mark, each codebook one column later than the last.

    codes: int [num_codebooks, frames], all below the marks. Returns int64 [columns, num_codebooks], the corners filled
    with the beginning and the end mark.
    """
    num_codebooks, frames = codes.shape
    columns = np.full((delayed_columns(frames, num_codebooks), num_codebooks), layout.stream_eos_id, dtype=np.int64)
    for codebook in range(num_codebooks):
        columns[: codebook + 1, codebook] = layout.stream_bos_id
        columns[codebook + 1 : codebook + 1 + frames, codebook] = codes[codebook]
    return columns


def undelay(columns: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Read frames start..stop-1 (counted from 1) out of delayed columns.

    columns: int [columns, num_codebooks] beginning with column 0. Returns int32 [num_codebooks, stop - start].
    """
    codebooks = np.arange(columns.shape[1])[:, None]
    return columns[np.arange(start, stop)[None, :] + codebooks, codebooks].astype(np.int32)


def complete_frames(column: int, num_codebooks: int) -> int:
    """How many frames are complete once column number `column` exists."""
    return max(0, column - (num_codebooks - 1))
