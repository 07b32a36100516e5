"""Every type that crosses the engine's boundary, and the engine's configuration."""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import ClassVar

import numpy as np

from runtime.formats.errors import InvalidRequestError, ModelLoadingError, require
from runtime.formats.speech_plan import MAX_RAS_WINDOW, NO_GUARD, RunawayGuard, SamplingParameters, WindowPlan
from runtime.formats.window import FinishReason

AUDIO_EMBEDDING = "audio_embedding.safetensors"  # what frames are summed from, beside TensorRT-LLM's engine
GENERATED_ROWS = 2  # of a stream's frame table behind its clips': its speech's columns take turns in them


@dataclass(frozen=True)
class CodebookLayout:
    """How the model lays out a column of codes; every value comes from the checkpoint.

    `codebook_size` counts the two stream marks, so a column's logits are [num_codebooks, codebook_size].
    """

    num_codebooks: int
    codebook_size: int
    stream_bos_id: int
    stream_eos_id: int

    @property
    def first_special_id(self) -> int:
        """Ids from here up are marks, not codes, and must never reach the codec."""
        return min(self.stream_bos_id, self.stream_eos_id)


@dataclass(frozen=True)
class ModelDescription:
    """The language model as the exporter writes it down, beside the graphs in `FILE`."""

    FILE: ClassVar = "lm.json"
    layout: CodebookLayout
    num_layers: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    max_positions: int
    reference_token_id: int

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> ModelDescription:
        """Read `lm.json`; raises ModelLoadingError when it is missing or lacks a field."""
        try:
            values = json.loads(path.read_text())
            layout = CodebookLayout(**values.pop("layout"))
            names = {field.name for field in fields(cls)} - {"layout"}
            return cls(layout=layout, **{name: values[name] for name in names})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelLoadingError(f"{path} does not describe a language model: {error}") from error


@dataclass(frozen=True)
class TextSegment:
    """Consecutive text positions of a prompt. `ids`: int64 [positions]."""

    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def slice(self, part: slice) -> TextSegment:
        """A piece of it."""
        return TextSegment(self.ids[part])


@dataclass(frozen=True)
class AudioSegment:
    """Consecutive audio positions of a prompt, already delayed. `columns`: int64 [positions, num_codebooks]."""

    columns: np.ndarray

    def __len__(self) -> int:
        return len(self.columns)

    def slice(self, part: slice) -> AudioSegment:
        """A piece of it."""
        return AudioSegment(self.columns[part])


Segment = TextSegment | AudioSegment


@dataclass(frozen=True)
class Prompt:
    """What the model reads before it speaks; ends where the first generated column begins."""

    segments: tuple[Segment, ...]

    def __len__(self) -> int:
        return sum(len(segment) for segment in self.segments)

    @property
    def tail(self) -> np.ndarray | None:
        """What repetition-aware sampling counts as already said: the newest audio columns, or None without a clip.

        int64 [at most MAX_RAS_WINDOW, num_codebooks]: clips and spoken parts one after another, including the marks and
        corners of the delay pattern, as transformers keeps them. So a mark takes a place in the window, although no
        code ever counts as its repetition.
        """
        newest: list[np.ndarray] = []
        missing = MAX_RAS_WINDOW
        for segment in reversed(self.segments):
            if isinstance(segment, AudioSegment) and missing > 0:
                newest.insert(0, segment.columns[-missing:])
                missing -= len(newest[0])
        return np.concatenate(newest) if newest else None


@dataclass(frozen=True)
class Request:
    """One stream of speech to generate. `timeout` in seconds from submission; `max_frames` of the codec.

    `continues`: its listener is already hearing the speech that this request continues, so it goes ahead of the queue
    and is never refused for overload.
    """

    request_id: str
    prompt: Prompt
    sampling: SamplingParameters
    windows: WindowPlan
    max_frames: int
    timeout: float
    guard: RunawayGuard = NO_GUARD
    continues: bool = False

    def __post_init__(self) -> None:
        require(self.max_frames >= 1, "max_frames", self.max_frames)
        require(0 < self.timeout < math.inf, "timeout", self.timeout)


@dataclass(frozen=True)
class FrameWindow:
    """New frames, with the context that the codec needs to decode them as if it saw the whole stream.

    `codes`: int32 [num_codebooks, frames]; the new ones are `codes[:, context : context + count]`, and the first
    of them is frame `start` of the stream. `finish_reason` is set on the last window only; a last window without
    new frames has `count` 0 and no codes.
    """

    index: int
    codes: np.ndarray
    context: int
    count: int
    start: int
    finish_reason: FinishReason | None


@dataclass(frozen=True)
class Limits:
    """What the engine admits, and what it must know about the codec.

    `max_positions` counts prompt and generated columns of one stream. `prefix_cache_bytes` bounds the keys and values
    kept for later prompts with the same beginning; 0 keeps none. `context_frames`: how far the codec's decoder looks
    back and ahead. `silence_codes`: for each codebook the codes of encoded silence; if empty, silence is not detected.
    `frame_seconds`: how long a frame is heard; 0: nobody listens while it is generated.
    """

    max_streams: int
    max_waiting: int
    max_positions: int
    prefill_tokens_per_step: int
    context_frames: int
    prefix_cache_bytes: int = 0
    silence_codes: Sequence[Sequence[int]] = ()
    frame_seconds: float = 0.0

    def __post_init__(self) -> None:
        may_be_zero = ("max_waiting", "context_frames", "prefix_cache_bytes")
        for field in fields(self):
            if field.type == "int" and getattr(self, field.name) < (0 if field.name in may_be_zero else 1):
                raise InvalidRequestError(f"limit {field.name} is {getattr(self, field.name)}, too small")


@dataclass(frozen=True)
class Pace:
    """Requests, by id, that need not be spoken on now: `resting` ones wait, `yielding` ones while another may speak.

    `hurried`: somebody hears a stream and has little of it in store.
    """

    resting: frozenset[str] = frozenset()
    yielding: frozenset[str] = frozenset()
    hurried: bool = False

    def may_wait(self, request_id: str) -> bool:
        """Whether a request should leave a place in the engine to another."""
        return request_id in self.resting or request_id in self.yielding


@dataclass(frozen=True)
class Tally:
    """Values by size, as Prometheus counts them: of `counts` one for each of `bounds`, of the values up to it, and one
    for all; `total` is their sum."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float = 0.0

    @classmethod
    def of(cls, bounds: tuple[float, ...]) -> Tally:
        """With no values yet."""
        return cls(bounds, (0,) * (len(bounds) + 1))

    def plus(self, value: float) -> Tally:
        """With one value more."""
        first = bisect_left(self.bounds, value)
        return Tally(self.bounds, tuple(n + (i >= first) for i, n in enumerate(self.counts)), self.total + value)


SECONDS = (0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60)  # bounds of what takes time


@dataclass(frozen=True)
class EngineStats:
    """A snapshot: streams and bytes now, and totals since the start (seconds, frames, positions, requests)."""

    live_streams: int
    waiting_requests: int
    resting_streams: int  # of those live
    steps: int
    frames: int
    busy_seconds: float
    finished: int
    runaway: int  # of those finished
    cancelled: int
    refused: int
    failed: dict[str, int]  # by error class
    prefix_positions_reused: int  # prompt positions that did not have to be read
    prefix_cache_bytes: int
    queued: Tally  # seconds that requests waited for a stream; not those that continue a speech
