"""`python -m tools.bench.lm`: frames per second of the engine against transformers' generate, in one run, as ratios.

Then what reusing a prompt saves (`tools/bench/prefix.py`), which transformers has nothing to set against.

Both run the same weights with the same number of threads, transformers in float32 and in bfloat16, in its best plain
setting on a CPU (eager attention, KV cache). The engine is the one the `lm` model serves, in each bundle's precision,
with sampling and windowing, but reads every prompt, as transformers does.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping
from pathlib import Path

from tools.bench.contenders import STREAMS, Contender, Generate, Rate, Served
from tools.bench.machine import Machine
from tools.bench.prefix import prefix_rows, prefix_saving
from tools.bench.report import bars, table, write

WANTED = {("fp32", 1): 2.5, ("fp32", STREAMS): 2.0, ("int8", 1): 4.0, ("int8", STREAMS): 4.0}
Rounds = Mapping[tuple[str, int], list[Rate]]


def measure(contenders: Mapping[str, Contender], rounds: int) -> dict[tuple[str, int], list[Rate]]:
    """Of each contender with one stream and with STREAMS, so many rates, in turns: a slow minute hits all of them."""
    found: dict[tuple[str, int], list[Rate]] = {(name, streams): [] for streams in (1, STREAMS) for name in contenders}
    for contender in contenders.values():  # warm up
        contender.rate(STREAMS)
    for _ in range(rounds):
        for (name, streams), rates in found.items():
            rates.append(contenders[name].rate(streams))
    return found


def ratio(found: Rounds, ours: tuple[str, int], theirs: tuple[str, int], processor: bool = False) -> float:
    """How many times the frames a second, or a second of processor, of another; the median of the rounds."""
    pairs = zip(found[ours], found[theirs], strict=True)
    if processor:
        return statistics.median(two.processor_seconds / one.processor_seconds for one, two in pairs)
    return statistics.median(one.frames_per_second / two.frames_per_second for one, two in pairs)


def main() -> None:
    """Measure, print, and write the figures and a plot."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.lm", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--bundles", type=Path, nargs="+", required=True, help="one a precision; fp32 first")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    served = {f"engine {one.precision}": one for one in (Served(path, options.threads) for path in options.bundles)}
    theirs = {f"generate {kind}": Generate(options.checkpoint, kind, options.threads) for kind in ("fp32", "bf16")}
    machine = Machine.measured(options.threads)
    found = measure({**theirs, **served}, options.rounds)
    for one in served.values():
        one.close()
    rows: list[tuple[str, ...]] = []
    record: dict[str, dict[str, float | None]] = {}
    for (name, streams), rates in found.items():
        speed = statistics.median(rate.frames_per_second for rate in rates)
        cost = statistics.median(rate.processor_seconds for rate in rates)
        floor = streams / served[name].floor_seconds(machine, streams) if name in served else None
        against = {
            f"{kind}{' processor' if processor else ''}": ratio(
                found, (name, streams), (f"generate {kind}", streams), processor
            )
            for processor in (False, True)
            for kind in ("fp32", "bf16")
        }
        record[f"{name} x{streams}"] = {
            "frames_per_second": speed,
            "processor_seconds": cost,
            "at_most": floor,
            **against,
        }
        rows.append(
            (
                f"{name} x{streams}",
                f"{speed:.1f}",
                f"{floor:.0f}" if floor else "",
                f"{1000 * cost:.1f} ms",
                *(f"{value:.2f} x" for value in against.values()),
            )
        )
    header = ("case", "frames/s", "at most", "processor a frame", "/ fp32", "/ bf16", "by processor / fp32", "/ bf16")
    print(f"{machine}. Streams x{STREAMS} join as they come; generate takes one batch.")
    print(table(header, rows))
    wanted = [
        (f"{precision} x{streams}", f"{record[f'engine {precision} x{streams}']['fp32']:.2f} x", f"{least:.1f} x")
        for (precision, streams), least in WANTED.items()
        if f"engine {precision}" in served
    ]
    print(table(("against generate in fp32", "measured", "wanted"), wanted))
    first = next(iter(served.values()))
    kept = first.stream_bytes
    print(f"Keys and values of a stream of {first.positions} positions: {kept / 2**20:.1f} MiB")
    saving = prefix_saving(options.checkpoint, first.weights, first.limits, options.threads)
    print(table(("prefix reuse", "measured"), prefix_rows(saving)))
    figures = {"threads": options.threads, "machine": vars(machine), "cases": record, "prefix_reuse": saving}
    write(options.out, "lm", figures | {"stream_bytes": kept})
    speeds = {name: one["frames_per_second"] or 0.0 for name, one in record.items()}
    bars(options.out / "lm.png", "Codec frames per second, language model alone", speeds)


if __name__ == "__main__":
    main()
