"""The runaway guard on the real server: a model made to loop is ended, tried again as often as allowed, and reported.

Run: python -m pytest tests/serving/test_retries.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from higgs_tts import GenerationParams, HiggsClient

from bench.triton_models import metrics
from serve.triton import TritonServer

TEXT = "Short words."
# Greedy and without repetition-aware sampling random weights never end: every attempt is the same.
LOOPING = {"temperature": 0.0, "ras_window": 0, "seed": 3}
LONGEST = 8.0  # seconds; what the guard allows two words is less


def test_a_model_made_to_loop_is_ended_retried_and_reported(
    server: TritonServer, client: HiggsClient, figure: Callable[[str, str], None]
) -> None:
    time.sleep(0.6)
    before = metrics(server.metrics_url)
    endless = client.synthesize(TEXT, params=GenerationParams(**LOOPING, max_seconds=12.0, runaway_guard=False))
    assert (endless.finish_reason, endless.seconds) == ("length", 12.0), "without the guard it goes on"
    held = client.synthesize(TEXT, params=GenerationParams(**LOOPING, hold_parts=True, max_retries=2))
    assert (held.finish_reason, held.retries) == ("runaway", 2)
    assert held.seconds < LONGEST
    assert [(part.finish_reason, part.retries) for part in held.parts] == [("runaway", 2)]
    heard = client.synthesize(TEXT, params=GenerationParams(**LOOPING, max_retries=2))
    assert (heard.finish_reason, heard.retries) == ("runaway", 0), "what was heard cannot be taken back"
    np.testing.assert_array_equal(heard.samples, held.samples)
    time.sleep(0.6)
    after = metrics(server.metrics_url)
    assert after["higgs_retries_total"] - before["higgs_retries_total"] == 2
    assert after["higgs_runaway_total"] - before["higgs_runaway_total"] == 4
    figure("a looping model", f"ended after {held.seconds:.2f} s, {held.retries} retries, instead of 12 s and more")


def test_after_a_runaway_the_rest_is_spoken(client: HiggsClient) -> None:
    params = GenerationParams(**LOOPING, max_retries=0, chunk_method="semantic", chunk_words=5)
    speech = client.synthesize("One is said here. Two is said there.", params=params)
    assert [part.finish_reason for part in speech.parts] == ["runaway", "runaway"]
    assert speech.parts[1].start > speech.parts[0].stop
    assert speech.finish_reason == "runaway"


def test_a_retry_is_another_attempt_and_the_same_every_time(client: HiggsClient) -> None:
    """Sampled speech of random weights: whatever fails is tried with other seeds, which follow from the request's."""
    params = GenerationParams(seed=8, temperature=1.0, hold_parts=True, max_retries=4)
    first, again = (client.synthesize(TEXT, params=params) for _ in range(2))
    assert first.report == again.report
    np.testing.assert_array_equal(first.samples, again.samples)
    once = GenerationParams(seed=8, temperature=1.0, max_seconds=4.0, runaway_guard=False)
    unguarded = client.synthesize(TEXT, params=once)
    if first.retries:
        length = min(len(first.samples), len(unguarded.samples))
        assert np.abs(first.samples[:length] - unguarded.samples[:length]).max() > 0.01
