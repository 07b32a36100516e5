"""`python -m tools.bench.fleet`: one server against two behind the same client, on this machine."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from higgs_tts import GenerationParams, HiggsClient

from serve.triton import TritonServer
from tools.bench.report import table
from tools.bench.serving import TEXT

STREAMS, TURNS = 16, 3


def speak(servers: Sequence[TritonServer], turn: int) -> tuple[float, float, float]:
    """STREAMS at once: audio seconds a second, the median first audio in seconds, processor seconds of a second."""
    before = sum(sum(server.processor_seconds().values()) for server in servers)
    started = time.monotonic()
    with HiggsClient([server.grpc_url for server in servers]) as client, ThreadPoolExecutor(STREAMS) as pool:
        seeds = [GenerationParams(seed=turn * STREAMS + place) for place in range(STREAMS)]
        speeches = list(pool.map(lambda params: client.synthesize(TEXT, params=params), seeds))
    elapsed = time.monotonic() - started
    spent = sum(sum(server.processor_seconds().values()) for server in servers) - before
    audio = sum(speech.seconds for speech in speeches)
    return audio / elapsed, statistics.median(speech.time_to_first_audio or 0 for speech in speeches), spent / audio


def main() -> None:
    """Both in turns, after each has spoken once; print medians."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.fleet", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    options = parser.parse_args()
    with ExitStack() as running:
        servers = [running.enter_context(TritonServer(options.bundle)) for _ in range(2)]
        fleets = {"one server": servers[:1], "two": servers}
        for fleet in fleets.values():
            speak(fleet, 0)
        turns = [{name: speak(fleet, turn) for name, fleet in fleets.items()} for turn in range(TURNS)]
        measured = {name: [turn[name] for turn in turns] for name in fleets}
    rows = []
    for name, runs in measured.items():
        rate, first, spent = (statistics.median(values) for values in zip(*runs, strict=True))
        rows.append((name, f"{rate:.1f}", f"{1000 * first:.0f} ms", f"{1000 * spent:.0f} ms"))
    print(table((f"{STREAMS} streams", "audio s/s", "first audio p50", "processor, for a second of audio"), rows))


if __name__ == "__main__":
    main()
