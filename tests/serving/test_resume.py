"""A model's process is killed while it speaks: the launcher replaces it, and the listener gets every sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import psutil
from higgs_tts import GenerationParams, HiggsClient

from serve.processes import STUB
from tests.serve.launching import command, read_until

TEXT = "The server dies while it says this."
PARAMS = GenerationParams(seed=3, max_seconds=8.0, runaway_guard=False, max_chunk_seconds=0.5)


def test_a_stream_whose_model_is_killed_comes_out_whole(bundle: Path) -> None:
    with command(bundle, seconds=300.0) as (process, ports):
        read_until(process.stdout, "speak:")
        with HiggsClient(f"127.0.0.1:{ports.grpc}") as client:
            unbroken = client.synthesize(TEXT, params=PARAMS)
            with client.stream(TEXT, params=PARAMS) as stream:
                first, chunks = stream.request_id, [next(stream)]
                for child in psutil.Process(process.pid).children(recursive=True):
                    words = child.cmdline()
                    if words and STUB in words[0] and "/lm/" in words[1]:
                        child.kill()
                chunks += list(stream)
            assert stream.request_id != first, "the stream was over before the model died"
        np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in chunks]), unbroken.samples)
        assert chunks[-1].report == unbroken.report
        read_until(process.stdout, "ready again")
