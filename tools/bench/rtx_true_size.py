"""`python -m tools.bench.rtx_true_size`: compile a model of the true shape with TensorRT-RTX; print what it took.

Random weights are drawn straight into the export, compiled for the target `rtx4090`, and the graph is compared with
transformers' layers over the same weights, each in a process of its own. What is finished is kept, so the command may
be stopped and given again. At the true size it leaves 11 GB of export and 11 GB of engine in the folder. Needs no GPU.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil
import torch

from build.errors import BuildError
from build.machine import check_space
from build.memory import ModelShape
from build.onnx_compiler import EngineReport
from build.rtx import LM_ENGINE, LmShapes, compile_lm
from build.targets import load_target
from convert import lm_tensorrt_rtx
from convert.checkpoint import Checkpoint
from convert.config import LanguageModelConfig
from convert.lm_check import compare_tensorrt_rtx
from demo.language_model import config_json, drawn, plan, write_configs
from demo.sizes import SIZES, ModelSize
from tools.bench.report import table, write

TRUE = SIZES["true"]
TARGET = load_target("rtx4090")
GIB = 2**30
POLL_SECONDS = 0.2
LOGITS_FILE = "logits.json"


@dataclass(frozen=True)
class DrawnCheckpoint(Checkpoint):
    """Random weights of a size, each drawn whenever it is asked for: no file holds them."""

    size: ModelSize

    @classmethod
    def of(cls, size: ModelSize, directory: Path) -> DrawnCheckpoint:
        """Only the configuration is written into `directory`."""
        config = config_json(size, "bfloat16")
        write_configs(directory, config, config)
        return cls(directory, None, LanguageModelConfig.from_files(directory), {}, {}, None, size)

    def tensor(self, name: str) -> torch.Tensor:
        """bfloat16, as the real checkpoint stores it."""
        index, tensor = next((i, t) for i, t in enumerate(plan(self.size)) if t.name == name)
        return drawn(index, tensor, seed=0, eos_rate=0).bfloat16()

    def stored_types(self) -> set[str]:
        """Of the tensors above."""
        return {"BF16"}


def export(checkpoint: Checkpoint, folder: Path) -> None:
    """The graph and its weights, as `python -m convert --lm-format tensorrt-rtx` writes them."""
    lm_tensorrt_rtx.export(checkpoint, folder / "lm", TARGET.precision, TARGET.max_positions)


def engine(checkpoint: Checkpoint, folder: Path) -> None:
    """The engine of the target, with all its profiles."""
    shapes = LmShapes(TARGET.max_streams, TARGET.prefill_tokens_per_step, TARGET.max_positions)
    compile_lm(folder, folder / LM_ENGINE, shapes, TARGET.compute_capability)


def check(checkpoint: Checkpoint, folder: Path) -> None:
    """The graph against transformers: it raises where the converter would refuse."""
    error = compare_tensorrt_rtx(checkpoint, folder / "lm", TARGET.precision)
    (folder / LOGITS_FILE).write_text(json.dumps(asdict(error)))


STAGES: dict[str, Callable[[Checkpoint, Path], None]] = {"export": export, "engine": engine, "check": check}


def measured(folder: Path, name: str, command: list[str]) -> dict[str, float]:
    """Run a stage in a process of its own unless it is finished; its figures, from whenever it ran."""
    finished = folder / f"{name}.figures.json"
    if finished.exists():
        print(f"{name}: finished before")
        return json.loads(finished.read_text())
    started, peak, busy = time.perf_counter(), 0, 0.0
    process = psutil.Popen([*command, "--stage", name])
    while process.poll() is None:
        try:
            memory, times = process.memory_info(), process.cpu_times()
        except psutil.NoSuchProcess:
            break
        # Pages of mapped files are counted as shared: the system takes them back when it must.
        peak, busy = max(peak, memory.rss - memory.shared), times.user + times.system
        time.sleep(POLL_SECONDS)
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, command)
    seconds = time.perf_counter() - started
    figures = {f"{name}_seconds": seconds, f"{name}_cpu_seconds": busy, f"{name}_peak_memory_bytes": float(peak)}
    finished.write_text(json.dumps(figures))
    print(f"{name}: {seconds:.0f} s, {busy:.0f} s of them busy, {peak / GIB:.1f} GiB of memory at most", flush=True)
    return figures


def main() -> int:
    """Measure, print, and write the figures; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.rtx_true_size", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--layers", type=int, default=TRUE.num_layers, help="fewer take less time and disk")
    parser.add_argument("--stage", choices=STAGES, help="this one only, unmeasured")
    options = parser.parse_args()
    if not 2 <= options.layers <= TRUE.num_layers:
        parser.error(f"--layers is {options.layers}; 2 to {TRUE.num_layers} are possible.")
    size = replace(TRUE, num_layers=options.layers)
    folder = options.out / f"{options.layers}-layers"
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = DrawnCheckpoint.of(size, folder)
    if options.stage:
        STAGES[options.stage](checkpoint, folder)
        return 0
    if EngineReport.read(folder / LM_ENGINE) is None:
        try:
            check_space(TARGET, ModelShape.from_config(config_json(size, "bfloat16")), folder)
        except BuildError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
    command = [sys.executable, "-m", "tools.bench.rtx_true_size", "--out", str(options.out)]
    command += ["--layers", str(options.layers)]
    figures: dict[str, float] = {"layers": size.num_layers}
    for name in STAGES:
        figures |= measured(folder, name, command)
    report = EngineReport.read(folder / LM_ENGINE)
    assert report is not None
    figures |= {"weights_bytes": (folder / "lm" / lm_tensorrt_rtx.WEIGHTS).stat().st_size, "engine_bytes": report.bytes}
    figures["logits_error"] = json.loads((folder / LOGITS_FILE).read_text())["maximum"]
    rows = [(name, f"{value:.3g}" if isinstance(value, float) else f"{value}") for name, value in figures.items()]
    print(table(("TensorRT-RTX, the true widths", "measured"), rows))
    write(Path("artifacts/bench"), f"rtx_true_size_{size.num_layers}_layers", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
