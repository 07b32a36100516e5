"""`python -m tools.torture`: attack a bundle behind the launcher and print what a bystander noticed.

One row an attack: how often it was tried; of the bystander's streams those that ended whole and bit-equal, that heard
nothing, that broke and that differed; their longest wait for a next chunk; what the server's processes held before and
after. Ends with status 1 when a stream was lost or differed.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
from pathlib import Path

from tools.bench.report import table
from tools.torture.attacks import Attack, breakdown, cancels, fuzz_models, fuzz_ports, traffic, vanishing
from tools.torture.bystander import Bystander
from tools.torture.launched import Launched

PROCESSES = ("tritonserver", "prompt", "codec_encoder", "lm", "codec_decoder", "voices")
_HEADER = ("attack", "tried", "whole", "turned away", "lost", "different", "longest wait", "memory", "descriptors")


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 0 when the bystander lost nothing."""
    parser = argparse.ArgumentParser(prog="python -m tools.torture", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True, help="for the launcher's lines")
    parser.add_argument("--requests", type=int, default=1600, help="malformed ones, of each model and of the ports")
    parser.add_argument("--cancels", type=int, default=1000)
    parser.add_argument("--vanishing", type=int, default=500, help="streams whose clients vanish")
    parser.add_argument("--breakdowns", type=int, default=20, help="of each process, killed and frozen")
    parser.add_argument("--minutes", type=int, default=60, help="of mixed traffic")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    times: dict[str, list[float]] = {}
    attacks: dict[str, tuple[Attack, int]] = {
        "malformed requests": (fuzz_models, options.requests),
        "malformed bytes": (fuzz_ports, options.requests),
        "cancelled": (cancels, options.cancels),
        "vanished": (vanishing, options.vanishing),
        "mixed traffic": (traffic, options.minutes),
    }
    for process in PROCESSES:
        for word, number in (("killed", signal.SIGKILL), ("frozen", signal.SIGSTOP)):
            name = f"{process} {word}"
            times[name] = []
            attacks[name] = (breakdown(process, number, times[name]), options.breakdowns)
    rows, harmed = [], 0
    chance = random.Random(options.seed)
    with Launched(options.bundle, options.log) as server:
        bystander = Bystander(server.grpc_url)
        bystander.start()
        for name, (attack, count) in attacks.items():
            if not count:
                continue
            before = server.holds()
            bystander.take()
            tried = attack(server, chance, count)
            server.until_it_speaks()
            noticed, after = bystander.take(), server.holds()
            harmed += len(noticed.lost) + len(noticed.different)
            counts = (tried, noticed.whole, noticed.turned_away, len(noticed.lost), len(noticed.different))
            memory, descriptors = zip(before, after, strict=True)
            rows.append(
                (
                    name,
                    *map(str, counts),
                    f"{noticed.longest_wait:.1f} s",
                    " → ".join(f"{one / 2**20:.0f} MiB" for one in memory),
                    " → ".join(map(str, descriptors)),
                )
            )
            print(*rows[-1], *noticed.lost[:3], *noticed.different[:3], sep=" · ", flush=True)
        bystander.stop()
    print(f"\n{table(_HEADER, rows)}\n")
    if any(times.values()):
        recovery = [
            (name, str(len(own)), f"{statistics.median(own):.1f} s", f"{max(own):.1f} s")
            for name, own in times.items()
            if own
        ]
        print(table(("process", "times", "heard again after, median", "at most"), recovery))
    return int(harmed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
