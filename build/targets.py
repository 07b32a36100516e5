"""Targets: the few lines of data that differ from one kind of machine to the next."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import tomllib

from build.errors import BuildError

_FILE = Path(__file__).with_name("targets.toml")


@dataclass(frozen=True)
class Target:
    """One machine kind; `targets.toml` explains the fields. Durations in seconds."""

    name: str
    description: str
    precision: str
    max_streams: int
    max_waiting: int
    max_positions: int
    prefill_tokens_per_step: int
    max_decode_batch: int
    max_seconds: float
    max_timeout_seconds: float
    max_characters: int
    max_scene_characters: int
    reference_min_seconds: float
    reference_max_seconds: float
    reference_cache_entries: int
    lm_threads: int
    lm_nice: int
    codec_threads: int


def load_target(name: str) -> Target:
    """The target of that name. Raises BuildError that lists the ones there are."""
    targets = tomllib.loads(_FILE.read_text())
    if name not in targets:
        raise BuildError(f"target {name!r} is unknown; there are {', '.join(targets)}")
    values = targets[name]
    expected = {field.name for field in fields(Target)} - {"name"}
    if set(values) != expected:
        raise BuildError(f"target {name!r} in {_FILE.name} has wrong fields: {sorted(expected ^ set(values))}")
    return Target(name=name, **values)
