"""What is tried before a part of a stream fails, by the error's class, in one table.

Only before any of the part was heard: what is tried may sound otherwise. What a step of the engine can do about its own
failure, for all streams in it, it does itself (`engine/inflight/engine.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from runtime.formats.errors import (
    AudioFormatError,
    AudioTokenizationError,
    CUDAFailureError,
    EngineError,
    GenerationTimeoutError,
    InvalidRequestError,
    MemoryExhaustionError,
    ModelLoadingError,
    OverloadedError,
    RequestError,
    StateError,
)


class Remedy(Enum):
    """A way to speak a part once more, with the same seed."""

    FREE_CACHES = "caches freed"
    NO_CONTEXT = "without context"


REMEDIES: dict[type[RequestError], tuple[Remedy, ...]] = {
    MemoryExhaustionError: (Remedy.FREE_CACHES, Remedy.NO_CONTEXT),
    EngineError: (Remedy.NO_CONTEXT,),
    # The launcher's: it starts the models again, or the fallback bundle, and clients resume.
    CUDAFailureError: (),
    ModelLoadingError: (),
    # The codec's, which tries windows one by one (`codec/batcher.py`).
    AudioTokenizationError: (),
    # The same would come again.
    AudioFormatError: (),
    GenerationTimeoutError: (),
    InvalidRequestError: (),
    OverloadedError: (),
    StateError: (),
}


def next_remedy(error: RequestError, tried: Sequence[Remedy]) -> Remedy | None:
    """The first remedy for an error that was not tried yet, or None."""
    return next((remedy for remedy in REMEDIES[type(error)] if remedy not in tried), None)
