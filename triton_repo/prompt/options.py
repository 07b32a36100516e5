"""The `options` of a request: one JSON object, every key known, every value in range; resolved against a preset."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from common.errors import InvalidRequestError

MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class GenerationParams:
    """How to speak. Durations in seconds; temperature 0 is greedy; top_k 0 and top_p 1 are off; ras_window 0 is off.

    The chunk keys set how the stream is cut: the first chunk, how much longer each next one is, and the longest.
    """

    temperature: float
    top_k: int
    top_p: float
    ras_window: int
    ras_max_repeats: int
    seed: int
    max_seconds: float
    first_chunk_seconds: float
    chunk_growth: float
    max_chunk_seconds: float
    timeout_seconds: float
    scene: str


AUDIO_QUALITY_PRESETS: dict[str, dict[str, Any]] = {
    "high_quality": {"temperature": 0.3, "top_p": 0.8, "max_seconds": 120.0},
    "balanced": {"temperature": 0.7, "top_p": 0.9, "max_seconds": 60.0},
    "fast_generation": {"temperature": 1.0, "top_p": 0.95, "max_seconds": 30.0, "first_chunk_seconds": 0.2},
}
DEFAULT_PRESET = "balanced"


@dataclass(frozen=True)
class OptionLimits:
    """What the engine behind this bundle allows; part of the model's settings."""

    codebook_size: int
    frame_seconds: float
    max_seconds: float
    max_timeout_seconds: float
    ras_window: int
    ras_max_repeats: int
    max_ras_window: int
    max_scene_characters: int


def parse_options(text: str | None, limits: OptionLimits) -> GenerationParams:
    """Resolve a request's options. Raises InvalidRequestError with the key, the value and the range."""
    given = _json_object(text)
    preset = given.pop("preset", DEFAULT_PRESET)
    if not isinstance(preset, str) or preset not in AUDIO_QUALITY_PRESETS:
        raise InvalidRequestError(f"preset {preset!r} is unknown; there are {', '.join(AUDIO_QUALITY_PRESETS)}")
    known = {field.name: field.type for field in fields(GenerationParams)}
    for key in given:
        if key not in known:
            raise InvalidRequestError(f"option {key!r} is unknown; there are preset, {', '.join(known)}")
    params = _defaults(preset, limits)
    ranges = _ranges(limits)
    return replace(params, **{key: _checked(key, given[key], known[key], ranges.get(key)) for key in given})


def engine_parameters(params: GenerationParams, frame_rate: float) -> dict[str, Any]:
    """The same in the engine's units (frames of the codec), as the language model stage reads them."""
    values = asdict(params)

    def frames(key: str) -> int:
        return max(1, round(values[key] * frame_rate))

    sampling = ("temperature", "top_k", "top_p", "ras_window", "ras_max_repeats", "seed")
    return {
        "sampling": {key: values[key] for key in sampling},
        "windows": {
            "first": frames("first_chunk_seconds"),
            "growth": params.chunk_growth,
            "maximum": max(frames("first_chunk_seconds"), frames("max_chunk_seconds")),
        },
        "max_frames": frames("max_seconds"),
        "timeout": params.timeout_seconds,
    }


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
    base: dict[str, Any] = {
        "top_k": 50,
        "ras_window": limits.ras_window,
        "ras_max_repeats": limits.ras_max_repeats,
        "seed": 0,
        "first_chunk_seconds": 0.4,
        "chunk_growth": 1.5,
        "max_chunk_seconds": 2.0,
        "timeout_seconds": limits.max_timeout_seconds,
        "scene": "",
    }
    values = base | AUDIO_QUALITY_PRESETS[preset]
    return GenerationParams(**values | {"max_seconds": min(values["max_seconds"], limits.max_seconds)})


def _ranges(limits: OptionLimits) -> dict[str, tuple[float, float]]:
    return {
        "temperature": (0.0, 2.0),
        "top_k": (0, limits.codebook_size),
        "top_p": (0.01, 1.0),
        "ras_window": (0, limits.max_ras_window),
        "ras_max_repeats": (1, limits.max_ras_window),
        "seed": (0, MAX_SEED),
        "max_seconds": (limits.frame_seconds, limits.max_seconds),
        "first_chunk_seconds": (limits.frame_seconds, 10.0),
        "chunk_growth": (1.0, 4.0),
        "max_chunk_seconds": (limits.frame_seconds, 10.0),
        "timeout_seconds": (0.1, limits.max_timeout_seconds),
        "scene": (0, limits.max_scene_characters),
    }


def _checked(key: str, value: Any, kind: Any, bounds: tuple[float, float] | None) -> Any:
    """The value in its own type, or InvalidRequestError."""
    if kind == "str":
        if not isinstance(value, str):
            raise InvalidRequestError(f"{key} must be a string, not {value!r}")
        measured: float = len(value)
    else:
        integral = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not isinstance(value, int | float) or (kind == "int" and not integral):
            raise InvalidRequestError(f"{key} must be {'an integer' if kind == 'int' else 'a number'}, not {value!r}")
        value = int(value) if kind == "int" else value
        measured = value
    assert bounds is not None
    low, high = bounds
    if not low <= measured <= high:  # also refuses NaN
        what = "characters" if kind == "str" else ""
        raise InvalidRequestError(f"{key} is {measured}{' ' + what if what else ''}; it must be from {low} to {high}")
    return value if kind != "float" else float(value)
