"""`python -m tools.bench.serving`: what clients see of a bundle behind a real Triton, for more and more streams."""

from __future__ import annotations

import argparse
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
from tools.bench.report import lines, table, write

LEVELS = (1, 2, 4, 8, 16, 32, 64)
MIN_RUNS = 8
TEXT = "Hello from Higgs Audio, streamed out of Triton."
_FIRST_WINDOW = "higgs_time_to_first_window_seconds"


@dataclass(frozen=True)
class Level:
    """So many streams at once. Times in milliseconds, the others in seconds of audio per second."""

    streams: int
    first_audio_p50: float
    first_audio_p95: float
    behind_the_model: float  # from the first window leaving the language model to the client, mean
    real_time_factor: float  # of one stream, median
    audio_seconds_per_second: float


def measure(metrics_url: str, client: HiggsClient, streams: int) -> Level:
    """Run so many streams at once."""

    def speak(seed: int) -> Speech:
        return client.synthesize(TEXT, params=GenerationParams(seed=seed, preset="fast_generation"))

    rounds = max(1, MIN_RUNS // streams)
    before = metrics(metrics_url)
    started = time.perf_counter()
    speeches: list[Speech] = []
    for _ in range(rounds):
        with ThreadPoolExecutor(streams) as pool:
            speeches += pool.map(speak, range(streams))
    elapsed = time.perf_counter() - started
    time.sleep(0.6)  # Triton publishes metrics four times a second
    after = metrics(metrics_url)
    seconds, count = (after[f"{_FIRST_WINDOW}_{part}"] - before[f"{_FIRST_WINDOW}_{part}"] for part in ("sum", "count"))
    first = sorted((speech.time_to_first_audio or 0.0) for speech in speeches)
    return Level(
        streams=streams,
        first_audio_p50=1000 * statistics.median(first),
        first_audio_p95=1000 * first[math.ceil(0.95 * len(first)) - 1],
        behind_the_model=1000 * (statistics.mean(first) - seconds / count),
        real_time_factor=statistics.median(speech.real_time_factor for speech in speeches),
        audio_seconds_per_second=sum(speech.seconds for speech in speeches) / elapsed,
    )


def level_table(levels: Sequence[Level]) -> str:
    """The levels as a Markdown table."""
    header = ("streams", "first audio p50", "p95", "behind the model", "RTF of one", "audio s/s")
    rows = [
        (
            f"{level.streams}",
            f"{level.first_audio_p50:.0f} ms",
            f"{level.first_audio_p95:.0f} ms",
            f"{level.behind_the_model:.1f} ms",
            f"{level.real_time_factor:.2f}",
            f"{level.audio_seconds_per_second:.1f}",
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
        levels = [measure(server.metrics_url, client, streams) for streams in LEVELS]
        memory = server.memory_bytes()
    print(level_table(levels))
    print(f"memory of Triton and its models: {memory / 2**20:.0f} MiB")
    write(options.out, "serving", {"levels": [asdict(level) for level in levels], "memory_bytes": memory})
    series = {
        "first audio p50 [ms]": [level.first_audio_p50 for level in levels],
        "RTF of one stream": [level.real_time_factor for level in levels],
        "audio s per s": [level.audio_seconds_per_second for level in levels],
    }
    lines(options.out / "serving.png", "Demo bundle through Triton", ("concurrent streams", list(LEVELS)), series)


if __name__ == "__main__":
    main()
