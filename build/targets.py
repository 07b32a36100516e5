"""Targets: the few values that differ between kinds of machines."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import tomllib

from build.engine_kinds import ENGINES, EngineKind
from build.errors import BuildError

_FILE = Path(__file__).with_name("targets.toml")
_COMMON = "common"  # values of every target that does not have its own
# The least that has it; MixtureOfExperts plugin: "MoE FP8 is not supported for architectures less than SM89".
FP8_CAPABILITY = "8.9"
# A model this small stays in a core's caches: a second thread would wait for the first longer than it computes. But of
# text many positions are read at once, which is arithmetic enough for two.
_SMALL_MODEL_BYTES = 64 * 2**20
_LEAST_TEXT_THREADS = 2


@dataclass(frozen=True)
class Target:
    """One kind of machine; `targets.toml` explains the fields. Durations in seconds."""

    name: str
    description: str
    precision: str
    lm_engine: str  # names of `ENGINES`
    codec_engine: str
    compute_capability: str  # empty: no GPU; "8.0+": that or more
    gpu_memory_gib: float
    workspace_gib: float
    max_streams: int
    max_waiting: int
    max_positions: int
    prefill_tokens_per_step: int
    prefix_cache_positions: int
    max_decode_batch: int
    max_seconds: float
    max_part_seconds: float
    max_timeout_seconds: float
    max_characters: int
    max_scene_characters: int
    reference_min_seconds: float
    reference_max_seconds: float
    prompt_audio_seconds: float
    reference_cache_entries: int
    reference_cache_mib: int
    lm_threads: int
    lm_nice: int
    codec_threads: int
    gpus: int

    @property
    def lm(self) -> EngineKind:
        return ENGINES[self.lm_engine]

    @property
    def codec(self) -> EngineKind:
        return ENGINES[self.codec_engine]

    @property
    def uses_gpu(self) -> bool:
        return bool(self.compute_capability)

    @property
    def uses_container(self) -> bool:
        """Whether it is built and served by what only NVIDIA's container has."""
        return self.lm.in_container or self.codec.in_container


def target_names() -> list[str]:
    """The names of all targets."""
    return [name for name in tomllib.loads(_FILE.read_text()) if name != _COMMON]


def load_target(name: str) -> Target:
    """The target of that name. Raises BuildError, which lists the known targets."""
    if name not in target_names():
        raise BuildError(f"target {name!r} is unknown; there are {', '.join(target_names())}")
    tables = tomllib.loads(_FILE.read_text())
    values = tables[_COMMON] | tables[name]
    expected = {field.name for field in fields(Target)} - {"name"}
    if set(values) != expected:
        raise BuildError(f"target {name!r} in {_FILE.name} has wrong fields: {sorted(expected ^ set(values))}")
    return Target(name=name, **values)


def with_precision(target: Target, precision: str) -> Target:
    """The target in another precision. Raises BuildError for one that its engine or its GPU does not have."""
    if precision not in target.lm.precisions:
        there = ", ".join(target.lm.precisions)
        raise BuildError(f"target {target.name} has no precision {precision!r}; it has {there}")
    if precision == "fp8" and target.compute_capability.endswith("+"):
        target = replace(target, compute_capability=f"{FP8_CAPABILITY}+")
    elif precision == "fp8" and float(target.compute_capability) < float(FP8_CAPABILITY):
        raise BuildError(
            f"target {target.name} has no fp8: its GPU's compute capability is {target.compute_capability}, "
            f"and fp8 needs {FP8_CAPABILITY} or more"
        )
    return replace(target, precision=precision)


def with_gpus(target: Target, gpus: int) -> Target:
    """The target with its language model split over so many GPUs. Raises BuildError where its engine does not split."""
    if gpus < 1:
        raise BuildError(f"--gpus is {gpus}; a language model needs at least 1")
    if gpus > 1 and not target.lm.splits:
        kinds = ", ".join(name for name, kind in ENGINES.items() if kind.splits)
        raise BuildError(f"target {target.name} runs on one GPU; only the engines {kinds} split a model over several")
    return replace(target, gpus=gpus)


def with_gpu_memory(target: Target, gib: float) -> Target:
    """The target for a GPU that is not here, with so much memory. Raises BuildError for one that knows its GPU."""
    if target.compute_capability and not target.compute_capability.endswith("+"):
        raise BuildError(f"target {target.name} is for one kind of GPU, whose memory it knows: leave out --gpu-memory")
    if not target.uses_gpu or gib <= 0:
        raise BuildError(f"--gpu-memory is {gib:g} for target {target.name}; give the GiB of a GPU that it uses")
    return replace(target, gpu_memory_gib=gib)


def with_threads(target: Target, model_bytes: int) -> Target:
    """The target with one thread for a small language model, where it leaves their number open."""
    return replace(target, lm_threads=1) if target.lm_threads == 0 and model_bytes <= _SMALL_MODEL_BYTES else target


def text_threads(target: Target) -> int:
    """For reading text, where steps take `lm_threads`; 0 is all cores."""
    return max(target.lm_threads, _LEAST_TEXT_THREADS) if target.lm_threads else 0
