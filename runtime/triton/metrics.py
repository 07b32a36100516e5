"""All metrics that the bundle publishes, on Triton's metrics port beside Triton's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import triton_python_backend_utils as pb_utils

from runtime.engine.types import EngineStats


class CodeSources:
    """Counts reference clips by where their codes came from: `higgs_reference_codes_total{source}`."""

    def __init__(self, sources: Iterable[str]) -> None:
        family = pb_utils.MetricFamily(
            name="higgs_reference_codes_total",
            description="Reference clips, by where their codes came from: a voice profile, memory, disk or the encoder",
            kind=pb_utils.MetricFamily.COUNTER,
        )
        self._family = family  # its counters must not outlive it
        self._counters = {source: family.Metric(labels={"source": source}) for source in sources}

    def count(self, source: str) -> None:
        """Count one clip."""
        self._counters[source].increment(1)


class WaitingWindows:
    """How many windows wait for the codec: `higgs_codec_waiting_windows`."""

    def __init__(self) -> None:
        self._family = pb_utils.MetricFamily(
            name="higgs_codec_waiting_windows",
            description="Windows of codes that wait to be decoded",
            kind=pb_utils.MetricFamily.GAUGE,
        )
        self._gauge = self._family.Metric(labels={})

    def set(self, windows: int) -> None:
        """Publish the number."""
        self._gauge.set(windows)


class Refusals:
    """Counts refused requests by error class: `higgs_refused_total{stage, error}`."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._family = pb_utils.MetricFamily(
            name="higgs_refused_total",
            description="Requests refused, by stage and error class",
            kind=pb_utils.MetricFamily.COUNTER,
        )
        self._counters: dict[str, pb_utils.Metric] = {}

    def count(self, error: Exception) -> None:
        """Count one refusal."""
        name = type(error).__name__
        if name not in self._counters:
            self._counters[name] = self._family.Metric(labels={"stage": self._stage, "error": name})
        self._counters[name].increment(1)


class LmMetrics:
    """Those of the language-model stage. Gauges follow the engine's snapshot; counters only ever grow.

    Averages are published as sum and count: over any time span the average is the ratio of their increases.
    """

    def __init__(self, stats: EngineStats) -> None:
        self._last = stats
        self._families: list[Any] = []  # Triton drops a family when its last reference goes
        self._live = self._metric("higgs_live_streams", "Streams being generated", gauge=True)
        self._waiting = self._metric("higgs_waiting_requests", "Requests waiting for a stream", gauge=True)
        self._resting = self._metric("higgs_resting_streams", "Live streams that wait in favour of others", gauge=True)
        self._late = self._metric("higgs_late_streams", "Streams whose listeners wait for audio", gauge=True)
        self._memory = self._metric("higgs_memory_used_ratio", "Share of the memory that is in use", gauge=True)
        self._frames = self._metric("higgs_frames_total", "Codec frames generated")
        self._steps = self._metric("higgs_steps_total", "Engine steps run")
        self._busy = self._metric("higgs_busy_seconds_total", "Seconds the engine had work")
        self._cancelled = self._metric("higgs_cancelled_total", "Streams cancelled by their clients")
        self._finished = self._metric("higgs_finished_total", "Streams of the engine that ended on their own")
        self._runaway = self._metric("higgs_runaway_total", "Finished streams that the runaway guard ended")
        self._reused = self._metric(
            "higgs_prefix_positions_reused_total", "Prompt positions whose keys and values came from earlier prompts"
        )
        self._prefix_bytes = self._metric(
            "higgs_prefix_cache_bytes", "Memory of keys and values kept for later prompts", gauge=True
        )
        self._parts = self._metric("higgs_parts_total", "Parts spoken: turns, chunks of long texts")
        self._retries = self._metric("higgs_retries_total", "Further attempts at parts that failed")
        self._recoveries = self._family("higgs_recovered_total", "Errors that cost no stream, by what was tried")
        self._recovered: dict[str, Any] = {}
        self._failures = self._family("higgs_failed_total", "Streams that ended with an error, by its class")
        self._failed: dict[str, Any] = {}
        self._first_window = self._average("higgs_time_to_first_window_seconds", "from arrival to lm's first window")
        self._first_audio = self._average("higgs_time_to_first_audio_seconds", "from arrival to the first audio")
        self._factor = self._average("higgs_real_time_factor", "per second of audio, of finished streams")

    def follow(self, stats: EngineStats, late_streams: int, memory: float) -> None:
        """Publish the engine's snapshot, how many listeners wait, and the share of memory in use."""
        self._memory.set(memory)
        self._resting.set(stats.resting_streams)
        self._late.set(late_streams)
        self._live.set(stats.live_streams)
        self._waiting.set(stats.waiting_requests)
        self._prefix_bytes.set(stats.prefix_cache_bytes)
        last, self._last = self._last, stats
        self._frames.increment(stats.frames - last.frames)
        self._steps.increment(stats.steps - last.steps)
        self._busy.increment(stats.busy_seconds - last.busy_seconds)
        self._cancelled.increment(stats.cancelled - last.cancelled)
        self._finished.increment(stats.finished - last.finished)
        self._runaway.increment(stats.runaway - last.runaway)
        self._reused.increment(stats.prefix_positions_reused - last.prefix_positions_reused)
        for error, count in stats.failed.items():
            if error not in self._failed:
                self._failed[error] = self._failures.Metric(labels={"error": error})
            self._failed[error].increment(count - last.failed.get(error, 0))

    def first_window(self, seconds: float) -> None:
        """Count a stream whose first window left for the codec so many seconds after its request's arrival."""
        self._first_window(seconds)

    def first_audio(self, seconds: float) -> None:
        """Count a stream whose first audio left for its client so many seconds after its request's arrival."""
        self._first_audio(seconds)

    def stream_reported(self, report: dict[str, Any]) -> None:
        """Count what the report of a stream says: parts, retries, and what was tried against errors."""
        self._parts.increment(len(report["parts"]))
        self._retries.increment(report["retries"])
        for tried in report["error_chain"]:
            if tried not in self._recovered:
                self._recovered[tried] = self._recoveries.Metric(labels={"recovery": tried})
            self._recovered[tried].increment(1)

    def finished(self, seconds: float, audio_seconds: float) -> None:
        """Count a stream that ended on its own, after so many seconds, with so much audio."""
        if audio_seconds > 0:
            self._factor(seconds / audio_seconds)

    def _average(self, name: str, what: str) -> Callable[[float], None]:
        total, count = self._metric(f"{name}_sum", f"Seconds {what}, summed"), self._metric(f"{name}_count", "Streams")

        def add(value: float) -> None:
            total.increment(value)
            count.increment(1)

        return add

    def _metric(self, name: str, description: str, gauge: bool = False) -> Any:
        family = self._family(name, description, gauge)
        self._families.append(family)
        return family.Metric(labels={})

    @staticmethod
    def _family(name: str, description: str, gauge: bool = False) -> Any:
        kind = pb_utils.MetricFamily.GAUGE if gauge else pb_utils.MetricFamily.COUNTER
        return pb_utils.MetricFamily(name=name, description=description, kind=kind)
