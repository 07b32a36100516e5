"""All metrics that the bundle publishes, on Triton's metrics port beside Triton's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import triton_python_backend_utils as pb_utils

from runtime.engine.types import SECONDS, EngineStats, Tally

_FACTORS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5, 2, 4)


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


class Histogram:
    """The three series of a histogram: `…_bucket{le}`, `…_sum` and `…_count`.

    Triton's Python backend has counters and gauges alone, so each of them is a family of counters. What reads
    histograms goes by their names. Values are published when asked: a counter is a message to Triton, and no stream
    should wait for twenty of them.
    """

    def __init__(self, name: str, meaning: str, bounds: tuple[float, ...]) -> None:
        self._tally = self._published = Tally.of(bounds)
        self._families = [_family(f"{name}_{part}", meaning) for part in ("bucket", "sum", "count")]
        buckets, total, count = self._families
        self._buckets = [buckets.Metric(labels={"le": f"{bound:g}"}) for bound in bounds]
        self._buckets.append(buckets.Metric(labels={"le": "+Inf"}))
        self._total, self._count = total.Metric(labels={}), count.Metric(labels={})

    def add(self, value: float) -> None:
        """Count a value. For one thread at a time."""
        self._tally = self._tally.plus(value)

    def publish(self, tally: Tally | None = None) -> None:
        """Tell Triton what was added, or what somebody else tallied."""
        last, self._published = self._published, self._tally if tally is None else tally
        for bucket, before, now in zip(self._buckets, last.counts, self._published.counts, strict=True):
            if now > before:
                bucket.increment(now - before)
        if self._published.counts[-1] > last.counts[-1]:
            self._count.increment(self._published.counts[-1] - last.counts[-1])
            self._total.increment(self._published.total - last.total)


class LmMetrics:
    """Those of the language-model stage. Gauges follow the engine's snapshot; counters only ever grow."""

    def __init__(self, stats: EngineStats) -> None:
        self._last = stats
        self._families: list[Any] = []  # Triton drops a family when its last reference goes
        self._live = self._metric("higgs_live_streams", "Streams being generated", gauge=True)
        self._waiting = self._metric("higgs_waiting_requests", "Requests waiting for a stream", gauge=True)
        self._textless = self._metric(
            "higgs_streams_without_text", "Streams that have spoken all their text and wait for more", gauge=True
        )
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
        self._recoveries = _family("higgs_recovered_total", "Errors that cost no stream, by what was tried")
        self._recovered: dict[str, Any] = {}
        self._failures = _family("higgs_failed_total", "Streams that ended with an error, by its class")
        self._failed: dict[str, Any] = {}
        self._queued = Histogram("higgs_queue_seconds", "From arrival at lm to a stream of its own", SECONDS)
        self._first_window = Histogram(
            "higgs_time_to_first_window_seconds", "From arrival to lm's first window", SECONDS
        )
        self._first_audio = Histogram("higgs_time_to_first_audio_seconds", "From arrival to the first audio", SECONDS)
        self._factor = Histogram(
            "higgs_real_time_factor", "Seconds that one of audio took, of finished streams", _FACTORS
        )

    def follow(self, stats: EngineStats, late_streams: int, without_text: int, memory: float) -> None:
        """Publish the engine's snapshot, how many listeners and streams wait, and the share of memory in use."""
        self._textless.set(without_text)
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
        self._queued.publish(stats.queued)
        for histogram in (self._first_window, self._first_audio, self._factor):
            histogram.publish()

    def first_window(self, seconds: float) -> None:
        """Count a stream whose first window left for the codec so many seconds after its request's arrival."""
        self._first_window.add(seconds)

    def first_audio(self, seconds: float) -> None:
        """Count a stream whose first audio left for its client so many seconds after its request's arrival."""
        self._first_audio.add(seconds)

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
            self._factor.add(seconds / audio_seconds)

    def _metric(self, name: str, description: str, gauge: bool = False) -> Any:
        family = _family(name, description, gauge)
        self._families.append(family)
        return family.Metric(labels={})


def _family(name: str, description: str, gauge: bool = False) -> Any:
    kind = pb_utils.MetricFamily.GAUGE if gauge else pb_utils.MetricFamily.COUNTER
    return pb_utils.MetricFamily(name=name, description=description, kind=kind)
