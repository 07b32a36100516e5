"""The bundle's own metrics, on Triton's metrics port beside Triton's own."""

from __future__ import annotations

from collections.abc import Iterable

import triton_python_backend_utils as pb_utils


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
