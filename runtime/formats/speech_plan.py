"""The speech plan: what one request speaks, part by part. The text stage writes it and the next stage reads it.

The clips' codes travel beside it: `reference_codes` int32 [num_codebooks, frames], concatenated, and
`reference_frames` int32 [clips].
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from runtime.formats.errors import InvalidRequestError, quoted, require, shortened
from runtime.formats.part_text import PartText, Word

MAX_COUNT = 2**31 - 1  # of anything, so that every number fits where an engine keeps it
MAX_TEMPERATURE = 100.0
MAX_RAS_WINDOW = 64  # columns of history kept for each stream
MAX_WINDOW_GROWTH = 16.0
MAX_PAUSE_FRAMES = 1000
_SENTENCE = 512  # positions of a part that is not known yet: 15 s and its text
MAX_LOOP_FRAMES = 1000  # at every step, each stream's newest column is compared with this many before it


@dataclass(frozen=True)
class SamplingParameters:
    """How to choose the next code of each codebook. temperature 0 is greedy; top_k 0 and top_p 1 are off.

    Repetition-aware sampling draws again from the unmodified distribution when the chosen code already occurs
    `ras_max_repeats` times among its codebook's last `ras_window` columns; `ras_window` 0 turns it off.
    """

    temperature: float
    top_k: int
    top_p: float
    ras_window: int
    ras_max_repeats: int
    seed: int

    def __post_init__(self) -> None:
        require(0 <= self.temperature <= MAX_TEMPERATURE, "temperature", self.temperature)
        require(0 <= self.top_k <= MAX_COUNT, "top_k", self.top_k)
        require(0 < self.top_p <= 1, "top_p", self.top_p)
        require(0 <= self.ras_window <= MAX_RAS_WINDOW, "ras_window", self.ras_window)
        require(1 <= self.ras_max_repeats <= MAX_COUNT, "ras_max_repeats", self.ras_max_repeats)
        require(0 <= self.seed < 2**63, "seed", self.seed)


@dataclass(frozen=True)
class WindowPlan:
    """How many new frames each window carries: `first`, then `growth` times as many each time, up to `maximum`."""

    first: int
    growth: float
    maximum: int

    def __post_init__(self) -> None:
        require(self.first >= 1, "first", self.first)
        require(1 <= self.growth <= MAX_WINDOW_GROWTH, "growth", self.growth)
        require(self.first <= self.maximum <= MAX_COUNT, "maximum", self.maximum)

    def size(self, index: int) -> int:
        """Frames of window `index` (from 0)."""
        # Cap the exponent: the maximum is reached long before, and a larger exponent would overflow a float.
        return max(1, min(self.maximum, int(self.first * self.growth ** min(index, 64))))


@dataclass(frozen=True)
class RunawayGuard:
    """When to assume that a stream has lost its text, and end it as `runaway`. A value of 0 turns its check off.

    `max_frames`: a frame budget, like the engine's own limit but reported as `runaway`. `loop_frames`: a cycle of at
    most this many frames repeats for `loop_repeats` times this long. `silence_frames`: this many frames are almost all
    silence. The engine's `runaway.py` says what is compared.
    """

    max_frames: int = 0
    loop_frames: int = 0
    loop_repeats: int = 3
    silence_frames: int = 0

    def __post_init__(self) -> None:
        for name in ("max_frames", "loop_frames", "silence_frames"):
            require(0 <= getattr(self, name) <= MAX_COUNT, name, getattr(self, name))
        require(self.loop_frames <= MAX_LOOP_FRAMES, "loop_frames", self.loop_frames)
        require(1 <= self.loop_repeats <= MAX_COUNT, "loop_repeats", self.loop_repeats)


NO_GUARD = RunawayGuard()


@dataclass(frozen=True)
class PlannedPart:
    """A turn of a dialogue, or a chunk of a long text. Lengths in frames.

    `text`: its words as they are read; `said`: as they were given. `ids`: its tokens, ending where its audio begins.
    `prefix`: index of the prefix its prompt begins with; parts with the same prefix are each other's context. `cloned`:
    the prefix holds the speaker's voice. `pause`: silence after it. `expected_frames`: about how many it will have;
    with fewer than `least_frames` it has failed.
    """

    speaker: str
    text: str
    said: PartText
    prefix: int
    ids: tuple[int, ...]
    cloned: bool
    pause: int
    max_frames: int
    expected_frames: int
    least_frames: int
    guard: RunawayGuard

    def __post_init__(self) -> None:
        require(len(self.ids) > 0, "ids", self.ids)
        for name, least in (
            ("prefix", 0),
            ("pause", 0),
            ("max_frames", 1),
            ("expected_frames", 1),
            ("least_frames", 0),
        ):
            require(least <= getattr(self, name) <= MAX_COUNT, name, getattr(self, name))
        require(self.pause <= MAX_PAUSE_FRAMES, "pause", self.pause)

    @property
    def positions(self) -> int:
        """What it takes at most, without what stands before it."""
        return len(self.ids) + min(self.max_frames, self.guard.max_frames or MAX_COUNT)


@dataclass(frozen=True)
class SpeechPlan:
    """All of a request's speech, or of a text that grows the beginning.

    `prefixes`: the tokens that prompts begin with; the reference token stands for each clip. `closing`: the tokens that
    follow a part's audio when the part is context for a later one. `max_frames`, `timeout` (seconds) and the seed apply
    to the whole speech. `arrived`: when the request came, in seconds of the machine's clock, `time.monotonic()`.
    `context_parts`, `max_retries`, `hold_parts`, `fallback_modes`: the options of the same names. `text_timeout`: in
    seconds, how long to wait for more parts (`more_parts.py`) whenever those here are spoken; 0 for none, and there may
    be none here only if there will be. `about`: what the client's final report says besides the parts.
    """

    prefixes: tuple[tuple[int, ...], ...]
    closing: tuple[int, ...]
    parts: tuple[PlannedPart, ...]
    sampling: SamplingParameters
    windows: WindowPlan
    max_frames: int
    timeout: float
    arrived: float
    context_parts: int
    max_retries: int
    hold_parts: bool
    fallback_modes: bool
    text_timeout: float
    about: dict[str, Any]

    def __post_init__(self) -> None:
        require(len(self.parts) > 0 or self.text_timeout > 0, "parts", self.parts)
        require(0 <= self.text_timeout <= MAX_COUNT, "text_timeout", self.text_timeout)
        require(1 <= self.max_frames <= MAX_COUNT, "max_frames", self.max_frames)
        require(0 < self.timeout <= MAX_COUNT, "timeout", self.timeout)
        require(0 <= self.arrived <= MAX_COUNT, "arrived", self.arrived)
        require(0 <= self.context_parts <= MAX_COUNT, "context_parts", self.context_parts)
        require(0 <= self.max_retries <= MAX_COUNT, "max_retries", self.max_retries)
        for part in self.parts:
            require(part.prefix < len(self.prefixes), "prefix", part.prefix)

    @property
    def deadline(self) -> float:
        """When the last sample must have left, on the machine's clock."""
        return self.arrived + self.timeout

    @property
    def most_positions(self) -> int:
        """Positions of the longest part, with its prompt and its context, if each part were as long; without clips."""
        longest = max((part.positions for part in self.parts), default=_SENTENCE)
        return max(map(len, self.prefixes), default=0) + longest * (1 + self.context_parts)

    def write(self) -> str:
        """The plan as JSON."""
        return json.dumps(self, default=vars, ensure_ascii=False)

    @classmethod
    def read(cls, text: str) -> SpeechPlan:
        """What `write` wrote. Raises InvalidRequestError for anything else."""
        try:
            values = json.loads(text)
            return made(
                cls,
                values
                | {
                    "prefixes": tuple(_ids(prefix) for prefix in values["prefixes"]),
                    "closing": _ids(values["closing"]),
                    "parts": read_parts(values["parts"]),
                    "sampling": made(SamplingParameters, values["sampling"]),
                    "windows": made(WindowPlan, values["windows"]),
                },
            )
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise InvalidRequestError(
                f"the speech plan is not what the text stage writes: {shortened(repr(error))}"
            ) from error


Made = TypeVar("Made")
_KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str": (str,),
    "dict[str, Any]": (dict,),
}


def made(kind: type[Made], values: dict[str, Any]) -> Made:
    """Make a dataclass from values, checking their types but not those within tuples. Raises TypeError."""
    for field in fields(kind):  # type: ignore[arg-type]
        allowed = _KINDS.get(str(field.type))
        if allowed and field.name in values and type(values[field.name]) not in allowed:
            raise TypeError(f"{field.name} is {quoted(values[field.name])}")
    return kind(**values)


def read_parts(values: list[dict[str, Any]]) -> tuple[PlannedPart, ...]:
    """The parts, of what `json.dumps(..., default=vars)` wrote of them. Raises TypeError, KeyError, ValueError."""
    return tuple(map(_part, values))


def _part(values: dict[str, Any]) -> PlannedPart:
    said = values["said"]
    own = {
        "said": made(PartText, said | {"words": tuple(made(Word, word) for word in said["words"])}),
        "ids": _ids(values["ids"]),
        "guard": made(RunawayGuard, values["guard"]),
    }
    return made(PlannedPart, values | own)


def _ids(values: list[Any]) -> tuple[int, ...]:
    if not all(type(value) is int for value in values):
        raise TypeError("token ids are whole numbers")
    return tuple(values)
