"""What reusing a prompt saves: the first frame of a long prompt, read and reused, beside the floor of each."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from build.memory import ModelShape
from runtime.engine.inflight.engine import Engine
from runtime.engine.inflight.onnx_runner import OnnxRunner
from runtime.engine.types import Limits, Prompt, Request, SamplingParameters, TextSegment, WindowPlan
from tools.bench.listening import listen

POSITIONS = 1000  # a reference clip of 30 s and two sentences
ROUNDS = 5
_CACHE_BYTES = 2**30
_GREEDY = SamplingParameters(temperature=0.0, top_k=0, top_p=1.0, ras_window=0, ras_max_repeats=1, seed=0)


def prefix_saving(checkpoint: Path, weights: Path, limits: Limits, threads: int) -> dict[str, float]:
    """Milliseconds, medians of ROUNDS, and what they consist of.

    `read` and `reused`: from submission to the first frame, with a prompt that is new and with the same again. `steps`:
    what both have in common, the first frame of a prompt of one position. `copy`: copying as many bytes as the prompt's
    keys and values take, once, in one piece. `gigabytes` of those, and `teraoperations` of reading the prompt.
    """
    runner = OnnxRunner(weights, limits.max_streams, limits.max_positions, threads)
    engine = Engine(runner, replace(limits, prefix_cache_bytes=_CACHE_BYTES))
    rng = np.random.default_rng(0)

    def first_frame(ids: np.ndarray) -> float:
        request = Request("saving", Prompt((TextSegment(ids),)), _GREEDY, WindowPlan(1, 1.0, 1), 1, 600.0)
        started = time.perf_counter()
        list(listen(engine, request))
        return time.perf_counter() - started

    source = np.ones(POSITIONS * runner.position_bytes, np.uint8)
    target = np.zeros_like(source)
    times: dict[str, list[float]] = {"read": [], "reused": [], "steps": [], "copy": []}
    for _ in range(ROUNDS):
        ids = rng.integers(0, 256, POSITIONS)
        times["read"].append(first_frame(ids))
        times["reused"].append(first_frame(ids))
        times["steps"].append(first_frame(rng.integers(0, 256, 1)))
        started = time.perf_counter()
        np.copyto(target, source)
        times["copy"].append(time.perf_counter() - started)
    reused = engine.stats().prefix_positions_reused
    engine.close()
    if reused < ROUNDS * POSITIONS:
        raise RuntimeError(f"{reused} positions were reused, of {ROUNDS * POSITIONS}")
    milliseconds = {name: 1e3 * float(np.median(values)) for name, values in times.items()}
    return {**milliseconds, "gigabytes": source.nbytes / 1e9, "teraoperations": _operations(checkpoint) / 1e12}


def prefix_rows(saving: dict[str, float]) -> list[tuple[str, str]]:
    """The same as a table's rows."""
    speed = saving["gigabytes"] / saving["copy"] * 1e3
    return [
        (f"first frame of a prompt of {POSITIONS} positions, read", f"{saving['read']:.0f} ms"),
        ("the same prompt again, reused", f"{saving['reused']:.0f} ms"),
        ("of these, the steps both take", f"{saving['steps']:.0f} ms"),
        ("reading costs, against reusing", f"{saving['read'] / saving['reused']:.1f}x"),
        (
            f"floor of reuse: copying {saving['gigabytes'] * 1e3:.0f} MB once at {speed:.1f} GB/s",
            f"{saving['copy']:.0f} ms",
        ),
        (
            f"reading: {saving['teraoperations']:.2f} T operations",
            f"{saving['teraoperations'] / (saving['read'] - saving['steps']) * 1e6:.0f} G/s",
        ),
    ]


def _operations(checkpoint: Path) -> float:
    """Multiplications and additions of reading POSITIONS text positions; attention's own are left out."""
    shape = ModelShape.from_config(json.loads((checkpoint / "config.json").read_text()))
    idle = shape.num_layers * 3 * shape.hidden_size * shape.intermediate_size
    return 2.0 * POSITIONS * (shape.layer_parameters - idle)
