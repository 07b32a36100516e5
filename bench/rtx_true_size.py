"""`python -m bench.rtx_true_size`: compile random weights of the true shape with TensorRT-RTX; print what it took.

A checkpoint is made, exported as one graph and compiled, each in a process of its own; what is finished is kept, so the
command may be stopped and given again. At the true size it leaves 11.5 GB of checkpoint, 11 GB of export and 11 GB of
engine in the folder. Needs no GPU.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil

from bench.report import table, write
from demo.sizes import SIZES

GIB = 2**30
NEEDED_GIB = 36  # of disk at the true size: checkpoint, export and engine, and a little room
MEMORY_GIB = 29  # expected at the true size: 2.7 bytes for each byte of weights, as the bench size takes
POLL_SECONDS = 0.2


def run(*command: str) -> tuple[float, int]:
    """Run a Python module; returns its seconds and the largest resident memory seen, in bytes."""
    started, peak = time.perf_counter(), 0
    process = psutil.Popen([sys.executable, "-m", *command])
    while process.poll() is None:
        try:
            memory = process.memory_info()
            # Pages of mapped files are counted too, but the system takes them back when it must.
            peak = max(peak, memory.rss - memory.shared)
        except psutil.NoSuchProcess:
            break
        time.sleep(POLL_SECONDS)
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - started, peak


def stage(folder: Path, name: str, *command: str) -> dict[str, float]:
    """Run a stage unless it is finished; its figures, kept in the folder, from whenever it ran."""
    finished = folder / f"{name}.json"
    if finished.exists():
        print(f"{name}: finished before")
        return json.loads(finished.read_text())
    seconds, peak = run(*command)
    figures: dict[str, float] = {f"{name}_seconds": seconds, f"{name}_peak_memory_bytes": peak}
    finished.write_text(json.dumps(figures))
    print(f"{name}: {seconds:.0f} s, {peak / GIB:.1f} GiB of memory at most", flush=True)
    return figures


def main() -> int:
    """Measure, print, and write the figures; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.rtx_true_size", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", choices=SIZES, default="true")
    parser.add_argument("--precision", default="bf16", choices=("fp32", "fp16", "bf16"))
    parser.add_argument("--compute-capability", default="8.9")
    options = parser.parse_args()
    folder = options.out / f"{options.size}-{options.precision}"
    folder.mkdir(parents=True, exist_ok=True)
    present = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    free = shutil.disk_usage(folder).free
    if options.size == "true" and free + present < NEEDED_GIB * GIB:
        print(f"{NEEDED_GIB} GiB of disk are needed; {free / GIB:.0f} are free at {folder}", file=sys.stderr)
        return 1
    memory = psutil.virtual_memory().total / GIB
    if options.size == "true" and memory < MEMORY_GIB:
        print(f"compiling may take about {MEMORY_GIB} GiB of memory, and there are {memory:.0f}", file=sys.stderr)
    checkpoint, exports, engines = folder / "checkpoint", folder / "exports", folder / "engines"
    figures: dict[str, float | str] = {"size": options.size, "precision": options.precision}
    figures |= stage(folder, "checkpoint", "demo.make_checkpoint", str(checkpoint), "--size", options.size)
    convert = ["--lm-format", "tensorrt-rtx", "--precision", options.precision]
    figures |= stage(folder, "export", "convert", str(checkpoint), "--output", str(exports), *convert)
    card = ["--compute-capability", options.compute_capability]
    figures |= stage(folder, "engines", "build.rtx", str(exports), "--output", str(engines), *card)
    for name in ("lm", "decoder", "encoder"):
        report = json.loads((engines / f"{name}.engine.json").read_text())
        figures |= {f"{name}_engine_bytes": report["bytes"], f"{name}_engine_seconds": report["seconds"]}
    record = json.loads((exports / "export.json").read_text())
    figures["weights_bytes"] = (exports / "lm" / "lm.weights").stat().st_size
    figures["logits_error"] = record["language_model"]["logits_error"]["maximum"]
    rows = [(name, f"{value:.3g}" if isinstance(value, float) else f"{value}") for name, value in figures.items()]
    print(table((f"TensorRT-RTX, {options.size} size", "measured"), rows))
    write(Path("artifacts/bench"), f"rtx_{options.size}_size", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
