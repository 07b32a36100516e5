"""What one request speaks, part after part, as the prompt stage writes it and this stage reads it.

A part is a turn of a dialogue or a chunk of a long text. On the wire a script is `input_ids` int32 [positions], the ids
of the prefixes and then of every part; `reference_codes` int32 [num_codebooks, frames], the clips one after another,
with `reference_frames` int32 [clips]; and `script`, a JSON object:

  prefixes    positions of each prefix, of which every part's prompt begins with one; a reference_token_id stands for
              each clip
  closing     ids that follow a part's audio where the part is context of a later one
  parts       [{speaker, text, prefix, positions, cloned, pause, max_frames, least_frames, guard}, …] in the order to
              speak them: `prefix` is the number of its prefix, and parts of one prefix are each other's context;
              `cloned` tells that the prefix holds the voice, `pause` is silence after the part, and a part that stops
              with fewer than `least_frames` is taken to have failed; lengths in frames
  sampling, windows                          as engine.types has them; the seed is the whole request's
  max_frames, timeout                        of the whole speech: frames, seconds
  context_parts, max_retries, hold_parts     see `context.Context` and `player.Player`
  about       whatever the client should be told at the end beside the parts: the voices, the language
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtime.engine.delay_pattern import delay
from runtime.engine.types import (
    AudioSegment,
    ModelDescription,
    RunawayGuard,
    SamplingParameters,
    Segment,
    TextSegment,
    WindowPlan,
)
from runtime.formats.errors import InvalidRequestError


@dataclass(frozen=True)
class Part:
    """One part to speak. `ids`: int64 [positions], ending where its audio begins; lengths in frames."""

    speaker: str
    text: str
    prefix: int
    ids: np.ndarray
    cloned: bool
    pause: int
    max_frames: int
    least_frames: int
    guard: RunawayGuard


@dataclass(frozen=True)
class Script:
    """A request, read and checked. `closing`: int64 [positions]."""

    prefixes: tuple[tuple[Segment, ...], ...]
    closing: np.ndarray
    parts: tuple[Part, ...]
    sampling: SamplingParameters
    windows: WindowPlan
    max_frames: int
    timeout: float
    context_parts: int
    max_retries: int
    hold_parts: bool
    about: dict[str, Any]


def read_script(ids: np.ndarray, codes: np.ndarray, frames: np.ndarray, script: str, model: ModelDescription) -> Script:
    """Assemble the script from its tensors. Raises InvalidRequestError when they do not fit the model or each other."""
    _check_ids(ids, model)
    try:
        values: dict[str, Any] = json.loads(script)
        lengths = [int(length) for length in values["prefixes"]]
        parts = _parts(values["parts"], ids[sum(lengths) :], len(lengths))
        read = Script(
            prefixes=_prefixes(ids[: sum(lengths)], lengths, _clips(codes, frames, model), model),
            closing=np.asarray(values["closing"], np.int64),
            parts=parts,
            sampling=SamplingParameters(**values["sampling"]),
            windows=WindowPlan(**values["windows"]),
            max_frames=int(values["max_frames"]),
            timeout=float(values["timeout"]),
            context_parts=int(values["context_parts"]),
            max_retries=int(values["max_retries"]),
            hold_parts=bool(values["hold_parts"]),
            about=dict(values["about"]),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise InvalidRequestError(f"script is not what the prompt stage writes: {error!r}") from error
    if read.closing.size:
        _check_ids(read.closing, model)
    return read


def _check_ids(ids: np.ndarray, model: ModelDescription) -> None:
    if ids.size == 0 or ids.min() < 0 or ids.max() >= model.vocab_size:
        raise InvalidRequestError(f"input_ids must be 1 or more ids from 0 to {model.vocab_size - 1}")


def _parts(entries: Sequence[dict[str, Any]], ids: np.ndarray, prefixes: int) -> tuple[Part, ...]:
    lengths = [int(entry["positions"]) for entry in entries]
    if not lengths or min(lengths) < 1 or sum(lengths) != len(ids):
        raise InvalidRequestError(
            f"input_ids has {len(ids)} positions behind the prefixes, and the parts take {sum(lengths)}"
        )
    if not all(0 <= int(entry["prefix"]) < prefixes for entry in entries):
        raise InvalidRequestError(f"a part has none of the {prefixes} prefixes")
    return tuple(
        Part(
            speaker=str(entry["speaker"]),
            text=str(entry["text"]),
            prefix=int(entry["prefix"]),
            ids=own.astype(np.int64),
            cloned=bool(entry["cloned"]),
            pause=int(entry["pause"]),
            max_frames=int(entry["max_frames"]),
            least_frames=int(entry["least_frames"]),
            guard=RunawayGuard(**entry["guard"]),
        )
        for entry, own in zip(entries, np.split(ids, np.cumsum(lengths)[:-1]), strict=True)
    )


def _clips(codes: np.ndarray, frames: np.ndarray, model: ModelDescription) -> list[np.ndarray]:
    """The clips, int32 [num_codebooks, frames] each."""
    layout = model.layout
    if codes.size and (codes.min() < 0 or codes.max() >= layout.first_special_id):
        raise InvalidRequestError(f"reference_codes must lie from 0 to {layout.first_special_id - 1}")
    if (frames < 1).any() or frames.sum() != codes.shape[1]:
        raise InvalidRequestError(f"reference_codes has {codes.shape[1]} frames, and the clips {frames.tolist()}")
    return np.split(codes, np.cumsum(frames)[:-1], axis=1) if len(frames) else []


def _prefixes(
    ids: np.ndarray, lengths: list[int], clips: list[np.ndarray], model: ModelDescription
) -> tuple[tuple[Segment, ...], ...]:
    """Cut ids into the prefixes, and put each clip, delayed, in the place of its mark."""
    marks = np.flatnonzero(ids == model.reference_token_id)
    if len(marks) != len(clips):
        raise InvalidRequestError(f"input_ids has room for {len(marks)} reference clips, and {len(clips)} came")
    waiting = iter(clips)
    return tuple(tuple(_prefix(own, waiting, model)) for own in np.split(ids, np.cumsum(lengths)[:-1]))


def _prefix(ids: np.ndarray, clips: Iterator[np.ndarray], model: ModelDescription) -> Iterator[Segment]:
    start = 0
    for mark in np.flatnonzero(ids == model.reference_token_id):
        yield TextSegment(ids[start:mark].astype(np.int64))
        yield AudioSegment(delay(next(clips), model.layout))
        start = int(mark) + 1
    if start < len(ids):
        yield TextSegment(ids[start:].astype(np.int64))
