"""Detects that a stream no longer speaks: it repeats itself code by code, or is silent, without end.

Columns are compared as they are sampled: a cycle of frames is the same cycle of columns, and is seen before its frames
are complete. Speech repeats a code or two for a while, in a held vowel or a pause, but not every code of the first half
of the codebooks, which hold the coarse structure of the sound; the finer ones are noise even in an audible loop. A
cycle counts by its duration, however short it is: `loop_frames * loop_repeats` columns, each equal to the one a cycle
before. Silence is detected by the first two codebooks, each compared with the codes of encoded silence.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runtime.engine.types import CodebookLayout, RunawayGuard

_SILENCE_CODEBOOKS = 2
_SOUND_TAKES_BACK = 8


class RunawayDetector:
    """Follows one stream. A column costs a handful of operations over `loop_frames` numbers, whatever came before.

    Args:
        silence_codes: for each codebook the codes of silence; if empty, silence is not detected.
    """

    def __init__(self, layout: CodebookLayout, guard: RunawayGuard, silence_codes: Sequence[Sequence[int]]) -> None:
        self._compared = max(1, layout.num_codebooks // 2)
        # A column's compared codes as one number: 4 codebooks of 1026 codes take 41 bits of 63.
        self._weights = layout.codebook_size ** np.arange(self._compared, dtype=np.int64)
        self._loop_length = guard.loop_frames * guard.loop_repeats
        self._recent = np.full(guard.loop_frames, -1, np.int64)  # the newest columns as numbers, newest first
        self._repeated = np.zeros(guard.loop_frames, np.int64)  # by cycle: columns in a row equal to the one before
        self._silence = [frozenset(codes) for codes in silence_codes[:_SILENCE_CODEBOOKS]]
        self._silence_length = guard.silence_frames if self._silence else 0
        self._silent = self._count = 0
        self._silent_from = 0  # the column that `_silent` is counted from

    def append(self, column: np.ndarray) -> int | None:
        """Follow the next column after column 0, int [num_codebooks].

        Returns the frame (from 0) at which the silence or the repetition begins; None while the stream is normal.
        """
        self._count += 1
        if self._silence_length:
            silent = all(int(code) in codes for code, codes in zip(column, self._silence, strict=False))
            if self._silent == 0:
                self._silent_from = self._count
            self._silent = self._silent + 1 if silent else max(0, self._silent - _SOUND_TAKES_BACK)
            if self._silent >= self._silence_length:
                return self._first_frame(self._count - self._silent_from + 1, len(self._silence))
        if self._loop_length:
            number = column[: self._compared] @ self._weights
            self._repeated += 1
            self._repeated *= self._recent == number
            self._recent[1:] = self._recent[:-1]
            self._recent[0] = number
            longest = int(self._repeated.max())
            if longest >= self._loop_length:
                return self._first_frame(longest, self._compared)
        return None

    def _first_frame(self, columns: int, codebooks: int) -> int:
        """The oldest frame of which the newest columns hold any of these codebooks."""
        return max(0, self._count - columns - (codebooks - 1))
