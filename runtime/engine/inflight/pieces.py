"""How a prompt is cut into the calls that read it: always at the same places, whatever is known of it already.

The keys and values of a position may depend, in their last bits, on how many positions are read with it: runtimes
choose kernels by shape and share rows out among threads, and where past and new positions are attended to apart, the
border between them counts. So a prompt's calls are decided by what it consists of and by nothing else: a call reads
one modality, and a run of it is cut every so many positions from its beginning. What is reused are whole calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from runtime.engine.types import AudioSegment, Segment, TextSegment


@dataclass(frozen=True, eq=False)
class Piece:
    """What one call reads: `segment`, whose first position is the prompt's `start`-th."""

    start: int
    segment: Segment

    @property
    def stop(self) -> int:
        """The prompt's position behind it."""
        return self.start + len(self.segment)

    @property
    def key(self) -> bytes:
        """What it consists of, to be compared: its modality, and every id or code of every codebook as int32."""
        if isinstance(self.segment, TextSegment):
            return b"t" + self.segment.ids.astype(np.int32).tobytes()
        return b"a" + self.segment.columns.astype(np.int32).tobytes()


def pieces(segments: Iterable[Segment], longest: int) -> tuple[Piece, ...]:
    """A prompt's calls in order, of at most `longest` positions each. How it is divided into segments is no matter."""
    cut: list[Piece] = []
    start = 0
    for _, run in groupby((segment for segment in segments if len(segment)), type):
        joined = _joined(list(run))
        for offset in range(0, len(joined), longest):
            cut.append(Piece(start + offset, joined.slice(slice(offset, offset + longest))))
        start += len(joined)
    return tuple(cut)


def _joined(run: list[Segment]) -> Segment:
    """Consecutive segments of one modality as one."""
    if isinstance(run[0], TextSegment):
        return TextSegment(np.concatenate([segment.ids for segment in run if isinstance(segment, TextSegment)]))
    return AudioSegment(np.concatenate([segment.columns for segment in run if isinstance(segment, AudioSegment)]))
