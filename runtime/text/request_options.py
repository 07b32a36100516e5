"""What a request asks for: its `options`, one JSON object, every key known, every value in range."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from runtime.formats.errors import InvalidRequestError, quoted, shortened
from runtime.formats.options import (
    AUDIO_QUALITY_PRESETS,
    DEFAULT_PRESET,
    KINDS,
    OPTIONS,
    Bundle,
    GenerationParams,
    OptionLimits,
)
from runtime.formats.pronunciations import check_pronunciations

_NO_PENALTY = (
    "repetition_penalty has no meaning for codes, since good speech repeats many of them; "
    "use ras_window and ras_max_repeats, which redraw a code that repeats too often"
)


def parse_options(text: str | None, limits: OptionLimits) -> GenerationParams:
    """Resolve a request's options. Raises InvalidRequestError with the key, the value and the range."""
    given = _json_object(text)
    preset = given.pop("preset", DEFAULT_PRESET)
    if not isinstance(preset, str) or preset not in AUDIO_QUALITY_PRESETS:
        raise InvalidRequestError(f"preset {quoted(preset)} is unknown; there are {', '.join(AUDIO_QUALITY_PRESETS)}")
    for key in given:
        if key == "repetition_penalty":
            raise InvalidRequestError(_NO_PENALTY)
        if key not in OPTIONS:
            raise InvalidRequestError(f"option {quoted(key)} is unknown; there are preset, {', '.join(OPTIONS)}")
    checked = {key: _TYPES[KINDS[key]](key, value) for key, value in given.items()}
    for key, value in checked.items():
        _check_range(key, value, limits)
    check_pronunciations(checked.get("lexicon", {}), "lexicon")
    return GenerationParams(**_defaults(preset, limits) | checked)


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


def _defaults(preset: str, limits: OptionLimits) -> dict[str, Any]:
    values = {name: _of(limits, one.default) for name, one in OPTIONS.items()} | AUDIO_QUALITY_PRESETS[preset]
    return values | {"max_part_seconds": min(values["max_part_seconds"], limits.max_part_seconds)}


def _of(limits: OptionLimits, value: Any) -> Any:
    """A value of the table, where the bundle's settings hold it from there."""
    return getattr(limits, value) if isinstance(value, Bundle) else value


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequestError(f"{key} must be a number, not {quoted(value)}")
    return value


def _integer(key: str, value: Any) -> int:
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, float) and value.is_integer())):
        raise InvalidRequestError(f"{key} must be an integer, not {quoted(value)}")
    return int(value)


def _boolean(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequestError(f"{key} must be true or false, not {quoted(value)}")
    return value


def _string(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidRequestError(f"{key} must be a string, not {quoted(value)}")
    return value


def _mapping(key: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise InvalidRequestError(f"{key} must be an object of strings, not {quoted(value)}")
    return value


_TYPES: dict[Any, Callable[[str, Any], Any]] = {
    float: _number,
    int: _integer,
    bool: _boolean,
    str: _string,
    str | None: _string,
    dict[str, str]: _mapping,
}


def _check_range(key: str, value: Any, limits: OptionLimits) -> None:
    one = OPTIONS[key]
    if one.choices and value not in one.choices:
        raise InvalidRequestError(f"{key} {quoted(value)} is unknown; there are {', '.join(one.choices)}")
    if one.low is None:
        return
    low, high = _of(limits, one.low), _of(limits, one.high)
    length = isinstance(value, str | dict)
    measured = len(value) if length else value
    if not low <= measured <= high:  # also refuses NaN
        unit = f" {one.unit}" if length else ""
        raise InvalidRequestError(f"{key} is {shortened(str(measured))}{unit}; it must be from {low} to {high}")
