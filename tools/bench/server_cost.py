"""What a server pays for the speech that clients hear: its processor's time, by process, and its memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from serve.triton import TritonServer
from tools.bench.report import table

_LEAST = 1e-4  # of a second, for a second of audio: worth a column


@dataclass(frozen=True)
class Cost:
    """Of a second of audio: the processor's seconds that each process used. Bytes of all of them afterwards."""

    processor: dict[str, float]
    memory_bytes: int

    @classmethod
    def since(cls, before: Mapping[str, float], server: TritonServer, audio_seconds: float) -> Cost:
        """From what `server.processor_seconds` said before so much audio was spoken."""
        after = server.processor_seconds()
        processor = {name: (seconds - before[name]) / audio_seconds for name, seconds in after.items()}
        return cls(processor, server.memory_bytes())

    @property
    def audio_seconds_per_processor_second(self) -> float:
        return 1 / sum(self.processor.values())


def cost_table(costs: Mapping[int, Cost]) -> str:
    """By the number of streams, as Markdown."""
    names = sorted({name for cost in costs.values() for name, seconds in cost.processor.items() if seconds >= _LEAST})
    header = ("streams", "audio s per processor s", *(f"{name}, ms per audio s" for name in names), "memory")
    rows = [
        (
            f"{streams}",
            f"{cost.audio_seconds_per_processor_second:.1f}",
            *(f"{1000 * cost.processor[name]:.1f}" for name in names),
            f"{cost.memory_bytes / 2**20:.0f} MiB",
        )
        for streams, cost in costs.items()
    ]
    return table(header, rows)
