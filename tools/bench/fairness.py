"""`python -m tools.bench.fairness`: a short request's first audio, on an idle server and beside long ones."""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from pathlib import Path

from higgs_tts import GenerationParams, HiggsClient

from serve.triton import TritonServer
from tools.bench.report import table

LONG_STREAMS = (0, 2, 6, 14)
REQUESTS = 6
_SHORT, _LONG = "Hello there.", "My name is Anna and I live in London. The train to London leaves on Monday. " * 30
_PAUSE_SECONDS = 1.5


def first_audio(url: str, others: int) -> tuple[list[float], float]:
    """Seconds of some short requests, one after another, and the long ones' seconds of audio a second."""
    stop, heard = threading.Event(), [0.0] * others

    def talk(number: int) -> None:
        with HiggsClient(url) as client, client.stream(_LONG, params=GenerationParams(seed=number)) as stream:
            for chunk in stream:
                heard[number] += len(chunk.samples) / chunk.sample_rate
                if stop.is_set():
                    return

    talkers = [threading.Thread(target=talk, args=(number,)) for number in range(others)]
    started = time.monotonic()
    for talker in talkers:
        talker.start()
    times = []
    with HiggsClient(url) as client:
        for seed in range(REQUESTS):
            time.sleep(_PAUSE_SECONDS)
            speech = client.synthesize(_SHORT, params=GenerationParams(seed=seed, max_seconds=1.0))
            times.append(speech.time_to_first_audio or 0.0)
    elapsed = time.monotonic() - started
    stop.set()
    for talker in talkers:
        talker.join()
    return times, sum(heard) / elapsed


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.fairness", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    options = parser.parse_args(arguments)
    rows = []
    with TritonServer(options.bundle) as server:
        first_audio(server.grpc_url, 0)  # warms up
        for others in LONG_STREAMS:
            times, pace = first_audio(server.grpc_url, others)
            rows.append((str(others), f"{statistics.median(times):.2f} s", f"{max(times):.2f} s", f"{pace:.1f}"))
    print(table(("long streams", "first audio, median", "slowest", "their audio s/s"), rows))


if __name__ == "__main__":
    main()
