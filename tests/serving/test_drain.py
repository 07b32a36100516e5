"""SIGTERM: a running stream comes out whole, and nobody else is let in."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from higgs_tts import GenerationParams, HiggsClient, ServerUnavailableError

from tests.serve.launching import command, read_until

PARAMS = GenerationParams(seed=3, max_seconds=6.0, runaway_guard=False, max_chunk_seconds=0.5)


def test_a_running_stream_ends_by_itself_and_new_ones_are_refused(bundle: Path) -> None:
    with command(bundle, "--drain", "200", seconds=300.0) as (process, ports):
        read_until(process.stdout, "speak:")
        with (
            HiggsClient(f"127.0.0.1:{ports.grpc}", resume=False) as client,
            client.stream("Long.", params=PARAMS) as one,
        ):
            chunks = [next(one)]
            process.send_signal(signal.SIGTERM)
            while client._connection.is_ready():
                chunks.append(next(one))
            with pytest.raises(ServerUnavailableError, match="cannot serve speech now"):
                client.synthesize("Too late.")
            chunks += list(one)
        assert (chunks[-1].finish_reason, chunks[-1].stop) == ("length", 6.0)
        read_until(process.stdout, "stopped in")
        assert process.wait(60) == 0
