"""A step callback on a stage of its own: the streams a test lets join, and what came out of each step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from runtime.engine.sampler import Sampler
from runtime.engine.sampler_state import SamplerState
from runtime.engine.trtllm.code_transfer import Transfer
from runtime.engine.trtllm.column_step import ColumnStep
from runtime.engine.trtllm.frame_table import FrameTable, end_id, table_ids
from runtime.engine.trtllm.step_callback import SpokenStream, StepCallback
from runtime.engine.types import GENERATED_ROWS, CodebookLayout, SamplingParameters

LAYOUT = CodebookLayout(num_codebooks=8, codebook_size=1026, stream_bos_id=1024, stream_eos_id=1025)
SAMPLING = SamplingParameters(temperature=1.0, top_k=50, top_p=0.95, ras_window=7, ras_max_repeats=2, seed=3)
PLACES, ROWS, HIDDEN = 8, 40, 16
WIDTH = table_ids(LAYOUT)


@dataclass
class NoTransfer:
    """Takes the place of the one declared copy to the host."""

    sent: list[torch.Tensor] = field(default_factory=list)

    def send(self, codes: torch.Tensor) -> None:
        self.sent.append(codes.clone())


@dataclass
class Stage:
    """A callback with its streams, and what came out of it."""

    device: str = "cpu"
    places: int = PLACES
    transfer: Any = field(default_factory=NoTransfer)
    streams: dict[int, SpokenStream] = field(default_factory=dict)
    errors: list[tuple[list[int], Exception]] = field(default_factory=list)
    batches: list[list[int]] = field(default_factory=list)
    pending: list[Transfer] = field(default_factory=list)

    def __post_init__(self) -> None:
        device = torch.device(self.device)
        embedding = torch.zeros(WIDTH, HIDDEN, device=device)
        self.sampler = Sampler(LAYOUT, device, asynchronous=True)
        self.table = FrameTable(embedding, LAYOUT, self.places, ROWS, self.places + 1)
        state = SamplerState(self.places + 1, LAYOUT, 64, device)
        self.column_step = ColumnStep(LAYOUT, self.sampler, state, self.table, device)
        self.callback = StepCallback(
            self.streams,
            self.column_step,
            end_id(LAYOUT),
            self.transfer,
            device,
            self.on_codes,
            lambda streams, error: self.errors.append(([s.key for s in streams], error)),
        )

    def on_codes(self, streams: list[SpokenStream], transfer: Transfer) -> None:
        self.batches.append([stream.key for stream in streams])
        self.pending.append(transfer)

    def join(self, key: int, **changes: Any) -> SpokenStream:
        tail = torch.zeros(5, 8, dtype=torch.int64, device=self.device)
        values = {
            "sampling": SAMPLING,
            "tail": tail,
            "place": key % self.places,
            "reference_rows": key % (ROWS - GENERATED_ROWS),
        } | changes
        self.streams[key] = SpokenStream(key=key, **values)
        return self.streams[key]

    def come_and_go(self) -> None:
        """Steps of a full stage, in which streams leave, sit out, end and come back."""
        everybody = range(self.places)
        self.step(*everybody)
        del self.streams[0]
        self.step(*everybody[1:])  # one has left: the last takes its slot
        self.step(*everybody[2:])  # one sits out
        self.streams[3].over = True
        self.step(*everybody[1:])  # one has ended, one comes back

    def step(self, *keys: int | None, logits: torch.Tensor | None = None) -> list[torch.Tensor]:
        """One call with these logits, [keys, 1, WIDTH], or random ones; returns what it left of them."""
        if logits is None:
            logits = torch.randn(len(keys), 1, WIDTH, device=self.device)
        views = [logits[i : i + 1] for i in range(len(keys))]
        stream = torch.cuda.current_stream().cuda_stream if self.device == "cuda" else 0
        self.callback(list(range(len(keys))), views, [[[]] for _ in keys], stream, list(keys))
        return views
