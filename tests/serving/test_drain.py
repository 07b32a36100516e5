"""SIGTERM: a running stream comes out whole, through the gateway too, and nobody else is let in."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

import httpx
import pytest
from higgs_tts import GenerationParams, HiggsClient, ServerUnavailableError

from serve.ports import Ports
from tests.serve.launching import command, read_until

PARAMS = GenerationParams(seed=3, max_seconds=6.0, runaway_guard=False, max_chunk_seconds=0.5)


WANTED = {"input": "Long.", "response_format": "pcm", "seed": 3, "max_seconds": 3.0, "runaway_guard": False}


def wait_until_closed(gateway: str) -> None:
    """Until it takes no more connections, soon after it was told."""
    host, port = gateway.split(":")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, int(port))).close()
        except ConnectionError:  # refused, or reset if it closed with this one in its queue
            return
    raise AssertionError("it still takes connections")


def test_a_running_stream_ends_by_itself_and_new_ones_are_refused(bundle: Path) -> None:
    gateway = f"127.0.0.1:{Ports.free().http}"
    with command(bundle, "--drain", "200", "--gateway", gateway, seconds=300.0) as (process, ports):
        assert f"gateway {gateway}" in read_until(process.stdout, "ready:")
        read_until(process.stdout, "speak:")
        with (
            HiggsClient(f"127.0.0.1:{ports.grpc}", resume=False) as client,
            client.stream("Long.", params=PARAMS) as one,
            httpx.Client(base_url=f"http://{gateway}", timeout=120, trust_env=False) as http,
            http.stream("POST", "/v1/audio/speech", json=WANTED) as spoken,
        ):
            parts = spoken.iter_raw()
            heard = len(next(parts))
            chunks = [next(one)]
            process.send_signal(signal.SIGTERM)
            while client.is_ready():
                chunks.append(next(one))
            with pytest.raises(ServerUnavailableError, match="cannot serve speech now"):
                client.synthesize("Too late.")
            wait_until_closed(gateway)
            heard += sum(map(len, parts))
            chunks += list(one)
        assert (chunks[-1].finish_reason, chunks[-1].stop) == ("length", 6.0)
        assert heard == 3 * 24_000 * 2
        read_until(process.stdout, "stopped in")
        assert process.wait(60) == 0
