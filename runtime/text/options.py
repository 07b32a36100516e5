"""The `options` of a request: one JSON object, every key known, every value in range; resolved against a preset."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from runtime.formats.errors import InvalidRequestError
from runtime.formats.pronunciations import MAX_PRONUNCIATIONS, check_pronunciations
from runtime.text.chunking import METHODS
from runtime.text.dialogue.cast import REFERENCE_PLACES
from runtime.text.dialogue.dialogue import DIALOGUE_MODES

MAX_SEED = 2**63 - 1
MAX_SPEAKERS = 64
DIALOGUE_CONTEXTS = ("all", "own")
_CHOICES = {
    "chunk_method": (*METHODS, "none"),
    "dialogue": DIALOGUE_MODES,
    "dialogue_context": DIALOGUE_CONTEXTS,
    "reference_place": REFERENCE_PLACES,
}
_NO_PENALTY = (
    "repetition_penalty has no meaning for codes, of which good speech repeats many; "
    "use ras_window and ras_max_repeats, which draw a code again that repeats too often"
)


@dataclass(frozen=True)
class GenerationParams:
    """How to speak. Durations in seconds; temperature 0 is greedy; top_k 0 and top_p 1 are off; ras_window 0 is off.

    `max_seconds` bounds the whole speech, `max_part_seconds` each of its parts: a turn of a dialogue or a chunk of a
    long text. `dialogue`: whether the text's labels name speakers. `dialogue_context`: whether a turn is spoken in view
    of all voices and turns, as the model was trained to do it, or only of its own speaker's. `system`: "" for no system
    text, None where the request says nothing of it. `reference_place`: whether clips stand in turns or in the system
    message. `first_chunk_seconds`, `chunk_growth` and `max_chunk_seconds` set how the stream is cut into responses. The
    README explains each.
    """

    temperature: float
    top_k: int
    top_p: float
    ras_window: int
    ras_max_repeats: int
    seed: int
    max_seconds: float
    max_part_seconds: float
    first_chunk_seconds: float
    chunk_growth: float
    max_chunk_seconds: float
    timeout_seconds: float
    language: str
    system: str | None
    scene: str
    reference_place: str
    speakers: dict[str, str]
    lexicon: dict[str, str]
    dialogue: str
    chunk_method: str
    chunk_words: int
    context_parts: int
    dialogue_context: str
    pause_seconds: float
    paragraph_pause_seconds: float
    runaway_guard: bool
    max_retries: int
    hold_parts: bool


AUDIO_QUALITY_PRESETS: dict[str, dict[str, Any]] = {
    "high_quality": {"temperature": 0.3, "top_p": 0.8, "max_part_seconds": 120.0},
    "balanced": {"temperature": 0.7, "top_p": 0.9, "max_part_seconds": 60.0},
    "fast_generation": {"temperature": 1.0, "top_p": 0.95, "max_part_seconds": 30.0, "first_chunk_seconds": 0.2},
}
DEFAULT_PRESET = "balanced"
_DEFAULTS: dict[str, Any] = {
    "top_k": 50,
    "seed": 0,
    "first_chunk_seconds": 0.4,
    "chunk_growth": 1.5,
    "max_chunk_seconds": 2.0,
    "language": "",
    "system": None,
    "scene": "",
    "reference_place": "turns",
    "speakers": {},
    "lexicon": {},
    "dialogue": "auto",
    "chunk_method": "auto",
    "context_parts": 3,
    "pause_seconds": 0.2,
    "paragraph_pause_seconds": 0.6,
    "runaway_guard": True,
    "max_retries": 2,
    "hold_parts": False,
}


@dataclass(frozen=True)
class OptionLimits:
    """What the engine behind this bundle allows, and what suits its model; part of the model's settings."""

    codebook_size: int
    frame_seconds: float
    max_seconds: float
    max_part_seconds: float
    max_timeout_seconds: float
    ras_window: int
    ras_max_repeats: int
    max_ras_window: int
    chunk_words: int
    dialogue_context: str
    max_scene_characters: int


def parse_options(text: str | None, limits: OptionLimits) -> GenerationParams:
    """Resolve a request's options. Raises InvalidRequestError with the key, the value and the range."""
    given = _json_object(text)
    preset = given.pop("preset", DEFAULT_PRESET)
    if not isinstance(preset, str) or preset not in AUDIO_QUALITY_PRESETS:
        raise InvalidRequestError(f"preset {preset!r} is unknown; there are {', '.join(AUDIO_QUALITY_PRESETS)}")
    known = {field.name: str(field.type) for field in fields(GenerationParams)}
    for key in given:
        if key == "repetition_penalty":
            raise InvalidRequestError(_NO_PENALTY)
        if key not in known:
            raise InvalidRequestError(f"option {key!r} is unknown; there are preset, {', '.join(known)}")
    ranges = _ranges(limits)
    checked = {key: _KINDS[known[key]](key, value) for key, value in given.items()}
    for key, value in checked.items():
        _check_range(key, value, ranges)
    check_pronunciations(checked.get("lexicon", {}), "lexicon")
    return replace(_defaults(preset, limits), **checked)


def _json_object(text: str | None) -> dict[str, Any]:
    if not text:
        return {}
    try:
        given = json.loads(text, parse_constant=lambda name: math.nan)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"options is not valid JSON: {error}") from error
    if not isinstance(given, dict):
        raise InvalidRequestError(f"options must be a JSON object, not {type(given).__name__}")
    return given


def _defaults(preset: str, limits: OptionLimits) -> GenerationParams:
    values = _DEFAULTS | AUDIO_QUALITY_PRESETS[preset]
    return GenerationParams(
        ras_window=limits.ras_window,
        ras_max_repeats=limits.ras_max_repeats,
        chunk_words=limits.chunk_words,
        dialogue_context=limits.dialogue_context,
        max_seconds=limits.max_seconds,
        timeout_seconds=limits.max_timeout_seconds,
        **values | {"max_part_seconds": min(values["max_part_seconds"], limits.max_part_seconds)},
    )


def _ranges(limits: OptionLimits) -> dict[str, tuple[float, float]]:
    """From and to, both allowed; of a string or a mapping its length."""
    return {
        "temperature": (0.0, 2.0),
        "top_k": (0, limits.codebook_size),
        "top_p": (0.01, 1.0),
        "ras_window": (0, limits.max_ras_window),
        "ras_max_repeats": (1, limits.max_ras_window),
        "seed": (0, MAX_SEED),
        "max_seconds": (limits.frame_seconds, limits.max_seconds),
        "max_part_seconds": (limits.frame_seconds, limits.max_part_seconds),
        "first_chunk_seconds": (limits.frame_seconds, 10.0),
        "chunk_growth": (1.0, 4.0),
        "max_chunk_seconds": (limits.frame_seconds, 10.0),
        "timeout_seconds": (0.1, limits.max_timeout_seconds),
        "language": (0, 35),  # the longest language tag that RFC 5646 asks everybody to take
        "system": (0, limits.max_scene_characters),
        "scene": (0, limits.max_scene_characters),
        "speakers": (0, MAX_SPEAKERS),
        "lexicon": (0, MAX_PRONUNCIATIONS),
        "chunk_words": (5, 400),
        "context_parts": (0, 16),
        "pause_seconds": (0.0, 10.0),
        "paragraph_pause_seconds": (0.0, 10.0),
        "max_retries": (0, 10),
    }


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequestError(f"{key} must be a number, not {value!r}")
    return value


def _integer(key: str, value: Any) -> int:
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, float) and value.is_integer())):
        raise InvalidRequestError(f"{key} must be an integer, not {value!r}")
    return int(value)


def _boolean(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequestError(f"{key} must be true or false, not {value!r}")
    return value


def _string(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidRequestError(f"{key} must be a string, not {value!r}")
    return value


def _mapping(key: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise InvalidRequestError(f"{key} must be an object of strings, not {value!r}")
    return value


_KINDS: dict[str, Callable[[str, Any], Any]] = {
    "float": _number,
    "int": _integer,
    "bool": _boolean,
    "str": _string,
    "str | None": _string,
    "dict[str, str]": _mapping,
}


def _check_range(key: str, value: Any, ranges: dict[str, tuple[float, float]]) -> None:
    if key in _CHOICES and value not in _CHOICES[key]:
        raise InvalidRequestError(f"{key} {value!r} is unknown; there are {', '.join(_CHOICES[key])}")
    if key not in ranges:
        return
    low, high = ranges[key]
    unit = " characters" if isinstance(value, str) else " entries" if isinstance(value, dict) else ""
    measured = len(value) if unit else value
    if not low <= measured <= high:  # also refuses NaN
        raise InvalidRequestError(f"{key} is {measured}{unit}; it must be from {low} to {high}")
