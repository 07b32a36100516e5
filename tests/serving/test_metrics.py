"""The bundle's own metrics stand on Triton's metrics port and move with the work."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from higgs_tts import GenerationParams, HiggsClient

from serve.triton import TritonServer
from tests.serving import lasting
from tools.bench.metrics import metrics


def test_metrics_follow_a_stream(server: TritonServer, client: HiggsClient) -> None:
    time.sleep(0.6)  # what earlier tests did is published by then
    before = metrics(server.metrics_url)
    stream = client.stream(lasting.TEXT, params=lasting.PARAMS)
    next(stream)
    time.sleep(0.6)  # a gauge is published four times a second, and the page follows it
    assert metrics(server.metrics_url)["higgs_live_streams"] == 1
    stream.close()
    speech = client.synthesize("Count me.", params=GenerationParams(seed=5, max_seconds=2.0, runaway_guard=False))
    time.sleep(0.6)
    after = metrics(server.metrics_url)
    grown = {name: after[name] - before[name] for name in before if name.startswith("higgs_") and name in after}
    assert after["higgs_live_streams"] == after["higgs_waiting_requests"] == 0
    assert grown["higgs_cancelled_total"] == 1
    assert grown["higgs_finished_total"] == 1
    assert grown["higgs_frames_total"] >= speech.seconds * 25
    assert grown["higgs_time_to_first_audio_seconds_count"] == grown["higgs_queue_seconds_count"] == 2
    for name in ("queue_seconds", "time_to_first_window_seconds", "time_to_first_audio_seconds", "real_time_factor"):
        of = {float(key.split('"')[1]): value for key, value in grown.items() if key.startswith(f"higgs_{name}_bucket")}
        counts = [of[bound] for bound in sorted(of)]
        assert counts == sorted(counts), "each holds those before it"
        assert counts[-1] == of[float("inf")] == grown[f"higgs_{name}_count"] > 0
        within = {bound: of[bound] - of.get(below, 0.0) for below, bound in pairwise([0.0, *sorted(of)])}
        assert 0 <= grown[f"higgs_{name}_sum"] <= sum(bound * count for bound, count in within.items() if count)
    assert grown["higgs_real_time_factor_sum"] == pytest.approx(speech.real_time_factor, rel=0.5)
    assert grown["higgs_busy_seconds_total"] > 0
    assert grown["higgs_steps_total"] >= 50
