"""A speech plan's prefixes as the engine reads them: text, and each clip's columns in the place of its token."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from runtime.engine.delay_pattern import delay
from runtime.engine.types import AudioSegment, ModelDescription, Segment, TextSegment
from runtime.formats.errors import InvalidRequestError
from runtime.formats.speech_plan import SpeechPlan

Prefix = tuple[Segment, ...]


def read_prefixes(
    plan: SpeechPlan, codes: np.ndarray, frames: np.ndarray, model: ModelDescription
) -> tuple[Prefix, ...]:
    """The plan's prefixes with its clips: codes int32 [num_codebooks, frames], frames int32 [clips].

    Raises InvalidRequestError when tokens or codes are out of the model's range, or clips and their tokens differ.
    """
    for ids in (*plan.prefixes, plan.closing, *(part.ids for part in plan.parts)):
        if ids and not 0 <= min(ids) <= max(ids) < model.vocab_size:
            raise InvalidRequestError(f"token ids must lie from 0 to {model.vocab_size - 1}")
    waiting = _clips(codes, frames, model)
    places = sum(ids.count(model.reference_token_id) for ids in plan.prefixes)
    if places != len(frames):
        raise InvalidRequestError(f"the prefixes have room for {places} reference clips, but {len(frames)} came")
    return tuple(tuple(_segments(np.array(ids, np.int64), waiting, model)) for ids in plan.prefixes)


def _clips(codes: np.ndarray, frames: np.ndarray, model: ModelDescription) -> Iterator[np.ndarray]:
    """The clips, int32 [num_codebooks, frames] each."""
    layout = model.layout
    if codes.size and (codes.min() < 0 or codes.max() >= layout.first_special_id):
        raise InvalidRequestError(f"reference_codes must lie from 0 to {layout.first_special_id - 1}")
    if (frames < 1).any() or frames.sum() != codes.shape[1]:
        raise InvalidRequestError(f"reference_codes has {codes.shape[1]} frames, but the clips have {frames.tolist()}")
    return iter(np.split(codes, np.cumsum(frames)[:-1], axis=1))


def _segments(ids: np.ndarray, clips: Iterator[np.ndarray], model: ModelDescription) -> Iterator[Segment]:
    start = 0
    for place in np.flatnonzero(ids == model.reference_token_id):
        yield TextSegment(ids[start:place])
        yield AudioSegment(delay(next(clips), model.layout))
        start = int(place) + 1
    if start < len(ids):
        yield TextSegment(ids[start:])
