"""How a prompt is cut into the calls that read it: always at the same places, whatever the cache already holds.

The keys and values of a position may depend, in their last bits, on how many positions are read with it: runtimes
choose kernels by shape and split rows among threads, and when attention treats past and new positions separately, the
border between them matters. So only a prompt's content decides its calls: a call reads one modality, and a run of one
modality is cut at fixed intervals from its beginning. Only whole calls are reused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from runtime.engine.types import AudioSegment, Segment, TextSegment


@dataclass(frozen=True, eq=False)
class Piece:
    """What one call reads: `segment`, which begins at the prompt's position `start`."""

    start: int
    segment: Segment

    @property
    def stop(self) -> int:
        """The prompt's position after the piece."""
        return self.start + len(self.segment)

    @property
    def key(self) -> bytes:
        """The piece's content, for comparison: its modality, and every id or code of every codebook as int32."""
        if isinstance(self.segment, TextSegment):
            return b"t" + self.segment.ids.astype(np.int32).tobytes()
        return b"a" + self.segment.columns.astype(np.int32).tobytes()


def pieces(segments: Iterable[Segment], longest: int) -> tuple[Piece, ...]:
    """A prompt's calls in order, of at most `longest` positions each. Its division into segments does not matter."""
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
