"""Two servers behind one client and one gateway: SIGTERM to one of them, and nobody notices."""

from __future__ import annotations

import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
from higgs_tts import AudioChunk, GenerationParams, HiggsClient, Speech

from gateway.settings import Settings
from tests.gateway.running import caller, running
from tests.serve.launching import command, read_until

STREAMS = 16


def asked(seed: int) -> GenerationParams:
    return GenerationParams(seed=seed, max_seconds=3.0, runaway_guard=False, max_chunk_seconds=0.5)


def spoken_over_http(http: httpx.Client, seed: int) -> bytes:
    wanted = {"input": "Long.", "response_format": "pcm", "max_seconds": 1.0, "runaway_guard": False, "seed": seed}
    return http.post("/v1/audio/speech", json=wanted).raise_for_status().content


def test_a_rolling_update_breaks_no_stream(bundle: Path) -> None:
    with ExitStack() as stack:
        started = [stack.enter_context(command(bundle, "--drain", "250", seconds=500.0)) for _ in range(2)]
        for process, _ in started:
            read_until(process.stdout, "speak:")
        (going, ports), (_, others) = started
        urls = [f"127.0.0.1:{each.grpc}" for each in (ports, others)]
        client, alone = (stack.enter_context(HiggsClient(url)) for url in (urls, urls[1]))
        http = stack.enter_context(caller(stack.enter_context(running(Settings(triton=",".join(urls))))))
        pool = stack.enter_context(ThreadPoolExecutor(STREAMS))

        streams = [client.stream("Long.", params=asked(seed)) for seed in range(STREAMS)]
        first = [next(stream) for stream in streams]
        going.send_signal(signal.SIGTERM)
        over_http = [pool.submit(spoken_over_http, http, seed) for seed in range(4)]
        late = [client.synthesize("Late.", params=asked(seed)) for seed in range(4)]
        rest = list(pool.map(list[AudioChunk], streams))

        read_until(going.stdout, "stopped in")
        assert going.wait(60) == 0
        spoken = [Speech.from_chunks([one, *more], 0.0) for one, more in zip(first, rest, strict=True)]
        assert Counter(speech.finish_reason for speech in spoken) == {"length": STREAMS}
        assert [speech.seconds for speech in late] == [3.0] * 4
        for seed in (0, 7, STREAMS - 1):
            again = alone.synthesize("Long.", params=asked(seed))
            np.testing.assert_allclose(spoken[seed].samples, again.samples, atol=1e-5)
        assert [len(each.result()) for each in over_http] == [24_000 * 2] * 4
        assert spoken_over_http(http, 3) == over_http[3].result()
