"""`python -m tools.bench.true_size`: export random weights of the true shape, and print what it took.

Proves that a 5.77 B-parameter checkpoint streams through the converter in far less memory than it has, and what a
step of the result costs on this machine. Leaves 11.5 GB of checkpoint and about 4 GB of exports in the folder.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

from runtime.engine.inflight.onnx_runner import OnnxRunner
from tools.bench.report import table, write

STEPS = 8


def run(*command: str) -> tuple[float, int]:
    """Run a Python module; returns its seconds and the largest resident memory of any child so far, in bytes."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", *command], check=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return time.perf_counter() - started, peak


def step_milliseconds(directory: Path, streams: int) -> float:
    """One decode step of so many streams."""
    runner = OnnxRunner(directory, streams, max_positions=256, threads=2)
    columns = torch.zeros((streams, runner.layout.num_codebooks), dtype=torch.int64)
    runner.decode(columns, [0] * streams)
    started = time.perf_counter()
    for position in range(1, STEPS + 1):
        runner.decode(columns, [position] * streams)
    return 1000 * (time.perf_counter() - started) / STEPS


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.true_size", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--precision", default="int4")
    options = parser.parse_args()
    checkpoint, exports = options.out / "checkpoint", options.out / f"exports-{options.precision}"
    finished = checkpoint / ".finished"
    if not finished.exists():
        seconds, peak = run("demo.make_checkpoint", str(checkpoint), "--size", "true")
        print(f"checkpoint of the true shape written in {seconds:.0f} s, {peak / 2**30:.1f} GiB of memory at most")
        finished.touch()
    stored = sum(file.stat().st_size for file in checkpoint.glob("*.safetensors"))
    seconds, peak = run("convert", str(checkpoint), "--output", str(exports), "--precision", options.precision)
    record = json.loads((exports / "export.json").read_text())
    figures = {
        "checkpoint_bytes": stored,
        "export_bytes": sum(file.stat().st_size for file in exports.rglob("*") if file.is_file()),
        "export_seconds": seconds,
        "peak_memory_bytes": peak,
        "precision": options.precision,
        "logits_error": record["language_model"]["logits_error"],
        "decoder_error": record["codec"]["decoder_error"],
        "encoder_error": record["codec"]["encoder_error"],
        "step_ms": {str(streams): step_milliseconds(exports / "lm", streams) for streams in (1, 4)},
    }
    rows = [(name, f"{value:.3g}" if isinstance(value, float) else f"{value}") for name, value in figures.items()]
    print(table(("true size", "measured"), rows))
    write(Path("artifacts/bench"), "true_size", figures)


if __name__ == "__main__":
    main()
