"""Many streams at once: all complete, and nobody's audio depends on who else is being served."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from higgs_tts import GenerationParams, HiggsClient, Speech

from serve.triton import TritonServer
from tools.bench.triton_models import infer, written

STREAMS = 64


def speak(client: HiggsClient, seed: int) -> Speech:
    params = GenerationParams(seed=seed, temperature=0.8, max_seconds=0.8 + 0.04 * (seed % 20), runaway_guard=False)
    return client.synthesize(f"Stream number {seed} says its own sentence.", params=params)


def test_sixty_four_streams_equal_their_single_runs(client: HiggsClient, figure: Callable[[str, str], None]) -> None:
    alone = [speak(client, seed) for seed in range(STREAMS)]
    with ThreadPoolExecutor(STREAMS) as pool:
        together = list(pool.map(lambda seed: speak(client, seed), range(STREAMS)))
    assert all(speech.finish_reason in ("stop", "length") for speech in together)
    different = [
        seed
        for seed in range(STREAMS)
        if len(alone[seed].samples) != len(together[seed].samples)
        or np.abs(alone[seed].samples - together[seed].samples).max() > 1e-4
    ]
    assert not different, f"streams {different} sound different in company"
    figure("64 concurrent streams", "all complete, each within 1e-4 of its single run")


def test_seeds_change_the_speech_and_nothing_else_does(client: HiggsClient) -> None:
    first, again, other = speak(client, 3), speak(client, 3), speak(client, 23)
    np.testing.assert_array_equal(first.samples, again.samples)
    assert len(first.samples) == len(other.samples)
    assert np.abs(first.samples - other.samples).max() > 0.01


def test_a_short_text_is_read_beside_long_ones_and_not_behind_them(server: TritonServer) -> None:
    options = json.dumps({"language": "en", "chunk_method": "semantic"})
    numbers = " ".join(f"It weighs {number} kg, or ${number}.50." for number in range(1000, 1400))
    costly = {"text": numbers, "options": options}  # about a second of work
    with ThreadPoolExecutor() as pool:
        long = [pool.submit(infer, server.grpc_url, "prompt", costly, ["plan"]) for _ in range(3)]
        time.sleep(0.3)
        short = infer(server.grpc_url, "prompt", {"text": "Hello.", "options": options}, ["plan"])
        assert not any(one.done() for one in long)
        assert written(short).parts[0].text == "Hello."
        plans = {one.result()["plan"].item() for one in long}
    assert len(plans) == 1, "side by side they are read as they are alone"
