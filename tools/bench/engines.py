"""`python -m tools.bench.engines`: the language model of two bundles of one checkpoint, in turn in one process.

Frames per second and processor time a frame, as ratios of the second bundle's to the first's, for several numbers of
streams. The medians of rounds that alternate, so that a slow minute of the machine hits both; and a sentence on where
all rounds agree.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from runtime.engine.contract import SpeechEngine
from runtime.engine.loader import start_engine
from runtime.engine.types import Limits, Prompt, Request, TextSegment
from runtime.formats.speech_plan import WindowPlan
from tools.bench.contenders import FRAMES, PLAIN_TEXT_IDS, PROMPT_POSITIONS, SAMPLING
from tools.bench.listening import listen
from tools.bench.report import table, write

STREAMS = (1, 4, 8, 16)


@dataclass(frozen=True)
class Round:
    """`rate`: frames per second of all streams together; `processor`: milliseconds of processor time a frame;
    `first`: seconds to the first frame, the mean of the streams."""

    rate: float
    processor: float
    first: float


def load(bundle: Path) -> SpeechEngine:
    """The engine that the bundle's `lm` starts, without its cache of prefixes."""
    model = bundle / "model_repository" / "lm" / "1"
    settings = json.loads((model / "settings.json").read_text())
    if "vllm" in settings:
        settings["vllm"]["prefix_cache"] = False
    return start_engine(settings, model / "weights", replace(Limits(**settings["limits"]), prefix_cache_bytes=0))


def speak(engine: SpeechEngine, streams: int, seed: int, frames: int) -> Round:
    """So many streams at once, each with another prompt, each of so many frames."""
    prompts = np.random.default_rng(seed).integers(0, PLAIN_TEXT_IDS, (streams, PROMPT_POSITIONS))
    counts, firsts = [0] * streams, [0.0] * streams

    def run(stream: int) -> None:
        prompt, sampling = Prompt((TextSegment(prompts[stream]),)), replace(SAMPLING, seed=stream)
        request = Request(f"{seed}.{stream}", prompt, sampling, WindowPlan(1, 1.5, 50), frames, 600.0)
        for window in listen(engine, request):
            firsts[stream] = firsts[stream] or time.perf_counter() - started
            counts[stream] += window.count

    threads = [threading.Thread(target=run, args=(stream,)) for stream in range(streams)]
    started, processor = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds, busy = time.perf_counter() - started, time.process_time() - processor
    return Round(sum(counts) / seconds, 1e3 * busy / sum(counts), sum(firsts) / streams)


def verdict(names: Sequence[str], rates: Mapping[int, Sequence[float]]) -> str:
    """Which of two is faster, by the ratios of all rounds for each number of streams."""
    kinds: dict[str, list[int]] = {"faster": [], "slower": [], "neither for certain": []}
    for streams, ratios in rates.items():
        sure = "faster" if min(ratios) > 1 else "slower" if max(ratios) < 1 else "neither for certain"
        kinds[sure].append(streams)
    said = [f"{kind} at {', '.join(map(str, those))} streams" for kind, those in kinds.items() if those]
    return f"in every round {names[1]} is, beside {names[0]}, {'; '.join(said)}"


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.engines", description=__doc__)
    parser.add_argument("bundles", type=Path, nargs=2)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", default="engines", help="of the figures")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=FRAMES, help="of each stream")
    options = parser.parse_args()
    engines = [load(bundle) for bundle in options.bundles]
    for engine in engines:
        speak(engine, STREAMS[-1], 0, options.frames)  # warm up
    rows, rates, record = [], dict[int, list[float]](), dict[str, dict[str, float]]()
    for streams in STREAMS:
        rounds = [
            [speak(engine, streams, seed, options.frames) for engine in engines] for seed in range(options.rounds)
        ]
        ratios = {
            field: median(getattr(second, field) / getattr(first, field) for first, second in rounds)
            for field in ("rate", "processor", "first")
        }
        rows.append((f"{streams}", *(f"{ratio:.2f}x" for ratio in ratios.values())))
        record[f"{streams}"] = ratios
        rates[streams] = [second.rate / first.rate for first, second in rounds]
    for engine in engines:
        engine.close()
    print(table(("streams", "frames per second", "processor time a frame", "first frame after"), rows))
    print(verdict([bundle.name for bundle in options.bundles], rates))
    write(options.out, options.name, record)


if __name__ == "__main__":
    main()
