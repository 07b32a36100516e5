"""`python -m tools.bench.codec`: what streaming costs the codec: windows against one decode of the same frames.

Processor time of one thread, all cases in turns in one process, so that whatever else the machine does touches all of
them alike.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from build.repository import VERSION
from runtime.codec.networks import Network, open_network
from runtime.formats.options import OPTIONS
from runtime.formats.speech_plan import WindowPlan
from runtime.formats.window import surrounded
from tools.bench.report import table, write

CHUNKS, CHUNKED_FRAMES = (2, 5, 10, 20, 50), 200
SPEECHES = (2, 5, 20)  # seconds
ROUNDS = 9

Case = tuple[int, WindowPlan]  # frames of a stream, and the windows it leaves in


def cases(frame_seconds: float) -> dict[str, Case]:
    """Streams in equal chunks, and in those of the options' defaults."""
    first, longest = (round(OPTIONS[f"{name}_chunk_seconds"].default / frame_seconds) for name in ("first", "max"))
    plan = WindowPlan(first, OPTIONS["chunk_growth"].default, longest)
    equal = {f"chunks of {size} frames": (CHUNKED_FRAMES, WindowPlan(size, 1.0, size)) for size in CHUNKS}
    return equal | {f"default chunks, {seconds} s": (round(seconds / frame_seconds), plan) for seconds in SPEECHES}


def windows(frames: int, plan: WindowPlan, context: int) -> Iterator[tuple[int, int]]:
    """First frame and count of each window; the last waits for no context, as in `runtime/engine/code_stream.py`."""
    start = index = 0
    while start < frames:
        count = plan.size(index)
        if frames <= start + count + context:
            count = frames - start
        yield start, count
        start, index = start + count, index + 1


def processor_seconds(decoder: Network, codes: np.ndarray, plan: WindowPlan, context: int) -> float:
    """To decode codes int32 [1, num_codebooks, frames] window by window."""
    inputs = [surrounded(codes, *window, context) for window in windows(codes.shape[-1], plan, context)]
    began = time.process_time()
    for one in inputs:
        decoder(one)
    return time.process_time() - began


def ratios(decoder: Network, settings: dict[str, float]) -> dict[str, float]:
    """Of each case, how many times one decode of its whole stream it costs; medians."""
    context, some = int(settings["context_frames"]), np.random.default_rng(0)
    found: dict[str, list[float]] = {}
    for _ in range(ROUNDS + 1):
        for name, (frames, plan) in cases(settings["frame_seconds"]).items():
            shape = (1, int(settings["num_codebooks"]), frames)
            codes = some.integers(0, int(settings["codebook_size"]), shape).astype(np.int32)
            whole, chunked = (
                processor_seconds(decoder, codes, one, context) for one in (WindowPlan(frames, 1.0, frames), plan)
            )
            found.setdefault(name, []).append(chunked / whole)
    return {name: statistics.median(values[1:]) for name, values in found.items()}  # the first warms up


def main() -> None:
    """Measure a CPU bundle's decoder, print, and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.codec", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="where results.json goes")
    options = parser.parse_args()
    folder = options.bundle / "model_repository" / "codec_decoder" / VERSION
    settings = json.loads((folder / "settings.json").read_text())
    figures = ratios(open_network(folder, "decoder", settings | {"threads": 1}), settings)
    print(table(("streamed in", "times a whole decode"), [(name, f"{value:.2f}") for name, value in figures.items()]))
    write(options.out, "codec", figures)


if __name__ == "__main__":
    main()
