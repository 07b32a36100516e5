"""From request tensors to the engine's types."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from engine.delay_pattern import delay
from engine.errors import InvalidRequestError
from engine.types import (
    AudioSegment,
    ModelDescription,
    Prompt,
    Request,
    SamplingParameters,
    Segment,
    TextSegment,
    WindowPlan,
)


def engine_request(
    request_id: str, ids: np.ndarray, codes: np.ndarray, parameters: str, model: ModelDescription
) -> Request:
    """Assemble a request for the engine.

    ids: int32 [positions], one `reference_token_id` where a clip belongs; codes: int32 [num_codebooks, frames], the
    clip; parameters: JSON of the prompt stage. Raises InvalidRequestError when they do not fit the model.
    """
    try:
        values: dict[str, Any] = json.loads(parameters)
        sampling, windows = SamplingParameters(**values["sampling"]), WindowPlan(**values["windows"])
        max_frames, timeout = int(values["max_frames"]), float(values["timeout"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidRequestError(f"parameters are not what the prompt stage writes: {error!r}") from error
    return Request(request_id, prompt(ids, codes, model), sampling, windows, max_frames, timeout)


def prompt(ids: np.ndarray, codes: np.ndarray, model: ModelDescription) -> Prompt:
    """Split ids at the clip's mark and put the clip, delayed, in its place."""
    layout = model.layout
    if ids.size == 0 or ids.min() < 0 or ids.max() >= model.vocab_size:
        raise InvalidRequestError(f"input_ids must be 1 or more ids from 0 to {model.vocab_size - 1}")
    if codes.size and (codes.min() < 0 or codes.max() >= layout.first_special_id):
        raise InvalidRequestError(f"reference_codes must lie from 0 to {layout.first_special_id - 1}")
    marks = np.flatnonzero(ids == model.reference_token_id)
    clips = [codes] if codes.size else []
    if len(marks) != len(clips):
        raise InvalidRequestError(f"input_ids has room for {len(marks)} reference clips, and {len(clips)} came")
    segments: list[Segment] = []
    start = 0
    for mark, clip in zip(marks, clips, strict=True):
        segments += [TextSegment(ids[start:mark].astype(np.int64)), AudioSegment(delay(clip, layout))]
        start = int(mark) + 1
    segments.append(TextSegment(ids[start:].astype(np.int64)))
    return Prompt(tuple(segments))
