"""The runaway guard on the real server: a model made to loop is ended, retried as often as allowed, and reported."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from higgs_tts import GenerationParams, HiggsClient, Speech

from runtime.speech.attempt import part_seed
from serve.triton import TritonServer
from tools.bench.metrics import metrics

TEXT = "Short words."
# Greedy and without repetition-aware sampling random weights never end: every attempt is the same.
LOOPING = {"temperature": 0.0, "ras_window": 0, "seed": 3}
SAMPLED = {"temperature": 1.0}
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


def test_a_part_that_fails_at_first_is_said_complete_with_another_seed(
    client: HiggsClient, figure: Callable[[str, str], None]
) -> None:
    """Sampled speech of random weights ends by chance: too early, late, or in time. Seeds are tried one after another
    until one fails of which the next attempt does not; what it gives is the next attempt's audio, whole, and no more.
    """

    def alone(seed: int) -> Speech:
        return client.synthesize(TEXT, params=GenerationParams(**SAMPLED, seed=seed, max_retries=0))

    for seed in range(60):
        if alone(seed).finish_reason == "runaway":
            expected = alone(part_seed(seed, 0, 1))
            if expected.finish_reason == "stop":
                break
    assert expected.finish_reason == "stop", "no such seed among so many: then this test shows nothing"
    retried = client.synthesize(TEXT, params=GenerationParams(**SAMPLED, seed=seed, hold_parts=True, max_retries=2))
    assert (retried.finish_reason, retried.retries) == ("stop", 1)
    assert [(part.finish_reason, part.retries) for part in retried.parts] == [("stop", 1)]
    np.testing.assert_array_equal(retried.samples, expected.samples)
    assert retried.parts[0].start == 0 and abs(retried.parts[0].stop - retried.seconds) < 1e-6
    given_up = client.synthesize(TEXT, params=GenerationParams(**SAMPLED, seed=seed, hold_parts=True, max_retries=0))
    assert (given_up.finish_reason, given_up.retries) == ("runaway", 0)
    figure("a part that fails at first", f"seed {seed}: {given_up.seconds:.2f} s, then {retried.seconds:.2f} s")


def test_a_retry_is_the_same_every_time(client: HiggsClient) -> None:
    params = GenerationParams(seed=8, temperature=1.0, hold_parts=True, max_retries=4)
    first, again = (client.synthesize(TEXT, params=params) for _ in range(2))
    assert first.report == again.report
    np.testing.assert_array_equal(first.samples, again.samples)
