"""A worker of vLLM is killed under a launcher: its streams hear of it in seconds, and the server speaks again."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from higgs_tts import GenerationParams, HiggsClient, HiggsError

from tests.serve.launching import command, read_until

pytestmark = pytest.mark.long

STREAMS, SECONDS = 8, 10  # until every stream has been told
LONG = "This sentence is said again and again, and the next one is as long as this one is. " * 12


def workers(launcher: int) -> list[psutil.Process]:
    """vLLM's, of the server that this launcher has started."""
    children = psutil.Process(launcher).children(recursive=True)
    return [one for one in children if "spawn_main" in " ".join(one.cmdline())]


def broken_after(url: str, begun: list[int], number: int) -> float:
    """Listen to a long text; returns when its stream broke, on the clock of time.monotonic()."""
    with HiggsClient(url, resume=False) as client:
        try:
            for _ in client.stream(LONG, params=GenerationParams(seed=number)):
                begun.append(number)
        except HiggsError:
            return time.monotonic()
    raise AssertionError("spoken to its end")


def test_a_killed_worker_is_heard_of_in_seconds_and_replaced(split_bundle: Path) -> None:
    with command(split_bundle, seconds=300) as (launcher, ports), ThreadPoolExecutor(STREAMS) as pool:
        read_until(launcher.stdout, "speak:")
        url, before = f"127.0.0.1:{ports.grpc}", workers(launcher.pid)
        begun: list[int] = []
        assert len(before) == 2
        with HiggsClient(url) as client:
            said = client.synthesize("Hello there.", params=GenerationParams(seed=1))
        listeners = [pool.submit(broken_after, url, begun, number) for number in range(STREAMS)]
        while len(set(begun)) < STREAMS:
            time.sleep(0.01)
        before[0].kill()
        killed = time.monotonic()
        assert all(0 < one.result() - killed < SECONDS for one in listeners)
        read_until(launcher.stdout, "the process of model lm has ended; restarting")
        read_until(launcher.stdout, "ready again")
        assert not any(one.is_running() for one in before)
        assert len(workers(launcher.pid)) == 2
        with HiggsClient(url) as client:
            again = client.synthesize("Hello there.", params=GenerationParams(seed=1))
        assert (again.samples == said.samples).all()
