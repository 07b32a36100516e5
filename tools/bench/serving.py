"""`python -m tools.bench.serving`: what clients see of a bundle behind a real Triton, for more and more streams."""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from higgs_tts import GenerationParams, HiggsClient, Speech

from serve.triton import TritonServer
from tools.bench.metrics import metrics
from tools.bench.player import starved_seconds
from tools.bench.report import lines, table, write
from tools.bench.server_cost import Cost, cost_table

LEVELS = (1, 2, 4, 8, 16, 32, 64)
MIN_RUNS = 8
TEXT = "Hello from Higgs Audio, streamed out of Triton."
_FIRST_WINDOW = "higgs_time_to_first_window_seconds"


@dataclass(frozen=True)
class Level:
    """So many streams at once. Times in milliseconds where nothing else is said."""

    streams: int
    first_audio_p50: float
    first_audio_p95: float
    behind_the_model: float  # from the first window leaving the language model to the client, mean
    real_time_factor: float  # of one stream, median
    audio_seconds: float  # of all
    audio_seconds_per_second: float
    starved: int  # streams whose player had nothing to play at some time
    longest_starved: float  # seconds in all, of one of them


def measure(metrics_url: str, client: HiggsClient, streams: int) -> Level:
    """Run so many streams at once."""

    def speak(seed: int) -> tuple[Speech, float]:
        began = time.monotonic()
        with client.stream(TEXT, params=GenerationParams(seed=seed, preset="fast_generation")) as stream:
            chunks = list(stream)
        return Speech.from_chunks(chunks, began), starved_seconds(chunks)

    rounds = max(1, MIN_RUNS // streams)
    before = metrics(metrics_url)
    started = time.perf_counter()
    heard: list[tuple[Speech, float]] = []
    for _ in range(rounds):
        with ThreadPoolExecutor(streams) as pool:
            heard += pool.map(speak, range(streams))
    elapsed = time.perf_counter() - started
    time.sleep(0.6)  # Triton publishes metrics four times a second
    after = metrics(metrics_url)
    speeches, starved = [speech for speech, _ in heard], [seconds for _, seconds in heard]
    audio = sum(speech.seconds for speech in speeches)
    seconds, count = (after[f"{_FIRST_WINDOW}_{part}"] - before[f"{_FIRST_WINDOW}_{part}"] for part in ("sum", "count"))
    first = sorted((speech.time_to_first_audio or 0.0) for speech in speeches)
    return Level(
        streams=streams,
        first_audio_p50=1000 * statistics.median(first),
        first_audio_p95=1000 * first[math.ceil(0.95 * len(first)) - 1],
        behind_the_model=1000 * (statistics.mean(first) - seconds / count),
        real_time_factor=statistics.median(speech.real_time_factor for speech in speeches),
        audio_seconds=audio,
        audio_seconds_per_second=audio / elapsed,
        starved=sum(seconds > 0 for seconds in starved),
        longest_starved=max(starved),
    )


def level_table(levels: Sequence[Level]) -> str:
    """The levels as a Markdown table."""
    header = ("streams", "first audio p50", "p95", "behind the model", "RTF of one", "audio s/s", "starved", "longest")
    rows = [
        (
            f"{level.streams}",
            f"{level.first_audio_p50:.0f} ms",
            f"{level.first_audio_p95:.0f} ms",
            f"{level.behind_the_model:.1f} ms",
            f"{level.real_time_factor:.2f}",
            f"{level.audio_seconds_per_second:.1f}",
            f"{level.starved}",
            f"{level.longest_starved:.2f} s",
        )
        for level in levels
    ]
    return table(header, rows)


def main() -> None:
    """Measure, print, and write the figures and a plot."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.serving", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with TritonServer(options.bundle) as server, HiggsClient(server.grpc_url) as client:
        measure(server.metrics_url, client, 2)  # warm up
        idle, levels, costs = server.memory_bytes(), [], {}
        for streams in LEVELS:
            before = server.processor_seconds()
            levels.append(measure(server.metrics_url, client, streams))
            costs[streams] = Cost.since(before, server, levels[-1].audio_seconds)
    slots = json.loads((options.bundle / "manifest.json").read_text())["limits"]["max_streams"]
    grown = (costs[slots].memory_bytes - idle) / slots if slots in costs else math.nan
    print(level_table(levels))
    print(cost_table(costs))
    print(
        f"memory: {idle / 2**20:.0f} MiB after the first streams; with all {slots} taken, {grown / 2**20:.1f} more each"
    )
    record = [asdict(level) | asdict(costs[level.streams]) for level in levels]
    write(options.out, "serving", {"levels": record, "idle_memory_bytes": idle, "stream_bytes": grown})
    series = {
        "first audio p50 [ms]": [level.first_audio_p50 for level in levels],
        "RTF of one stream": [level.real_time_factor for level in levels],
        "audio s per s": [level.audio_seconds_per_second for level in levels],
    }
    lines(options.out / "serving.png", "Demo bundle through Triton", ("concurrent streams", list(LEVELS)), series)


if __name__ == "__main__":
    main()
