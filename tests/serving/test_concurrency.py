"""Many streams at once: all complete, and nobody's audio depends on who else is being served."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from higgs_tts import GenerationParams, HiggsClient, Speech

STREAMS = 64


def speak(client: HiggsClient, seed: int) -> Speech:
    params = GenerationParams(seed=seed, temperature=0.8, max_seconds=0.8 + 0.04 * (seed % 20), runaway_guard=False)
    return client.synthesize(f"Stream number {seed} says its own sentence.", params=params)


def test_sixty_four_streams_equal_their_single_runs(client: HiggsClient, figure: Callable[[str, str], None]) -> None:
    alone = [speak(client, seed) for seed in range(STREAMS)]
    with ThreadPoolExecutor(STREAMS) as pool:
        together = list(pool.map(lambda seed: speak(client, seed), range(STREAMS)))
    assert all(speech.finish_reason in ("stop", "length") for speech in together)
    different = [seed for seed in range(STREAMS) if not np.array_equal(alone[seed].samples, together[seed].samples)]
    assert not different, f"streams {different} sound different in company"
    figure("64 concurrent streams", "all complete, each equal to its single run bit for bit")


def test_seeds_change_the_speech_and_nothing_else_does(client: HiggsClient) -> None:
    first, again, other = speak(client, 3), speak(client, 3), speak(client, 23)
    np.testing.assert_array_equal(first.samples, again.samples)
    assert len(first.samples) == len(other.samples)
    assert np.abs(first.samples - other.samples).max() > 0.01
