"""What a request sends to the encoder: clips to encode, and the known codes of other clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from runtime.formats.errors import InvalidRequestError


@dataclass(frozen=True, eq=False)
class Clips:
    """`samples`: float32 [samples] of each clip to encode. `known`: the codes of every clip, None for one to encode."""

    samples: list[np.ndarray]
    known: list[np.ndarray | None]

    @property
    def num_known(self) -> int:
        return len(self.known) - len(self.samples)

    def with_codes(self, encoded: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The codes of every clip, int32 [num_codebooks, frames] each; `encoded` are those that were not known."""
        waiting = iter(encoded)
        return [next(waiting) if codes is None else codes for codes in self.known]


def read_clips(
    samples: np.ndarray | None,
    lengths: np.ndarray | None,
    codes: np.ndarray | None,
    frames: np.ndarray | None,
    num_codebooks: int,
) -> Clips:
    """The clips in a request's tensors, copied because Triton owns the tensors' memory and takes it back.

    Raises InvalidRequestError when the tensors do not fit each other.
    """
    if samples is None or lengths is None:
        raise InvalidRequestError("reference_samples and reference_lengths belong together; one is missing")
    if (codes is None) != (frames is None):
        raise InvalidRequestError("known_codes and known_frames belong together; one is missing")
    if codes is None or frames is None:
        codes, frames = np.zeros((num_codebooks, 0), np.int32), np.zeros(len(lengths), np.int32)
    if (lengths < 0).any() or lengths.sum() != samples.size:
        raise InvalidRequestError(
            f"reference_samples has {samples.size} samples, but the clips have {lengths.tolist()}"
        )
    if codes.shape[0] != num_codebooks or (frames < 0).any() or frames.sum() != codes.shape[1]:
        raise InvalidRequestError(
            f"known_codes is {list(codes.shape)}; it must be {num_codebooks} codebooks by the frames {frames.tolist()}"
        )
    if len(frames) != len(lengths) or ((lengths > 0) == (frames > 0)).any():
        raise InvalidRequestError(
            f"each clip must have either samples or known frames, not {lengths.tolist()} and {frames.tolist()}"
        )
    ends = np.cumsum(lengths), np.cumsum(frames)
    return Clips(
        samples=[samples[end - count : end].copy() for end, count in zip(ends[0], lengths, strict=True) if count],
        known=[
            codes[:, end - count : end].copy() if count else None for end, count in zip(ends[1], frames, strict=True)
        ],
    )
