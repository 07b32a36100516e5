"""Our sampling inside vLLM's workers: its own place between logits and its sampler, a V1 logits processor.

Every worker of a tensor-parallel group samples the same logits with the same keyed noise, so all choose alike and
nothing needs to be sent between them.

vLLM also samples where it then throws the result away: behind a piece of a prompt, and while it reads a stream again
whose keys and values it had to drop. A draw therefore counts only once vLLM has kept its id: until then the state
before it is kept, and a draw that was thrown away is drawn again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from vllm.config import VllmConfig
from vllm.utils.torch_utils import async_tensor_h2d
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor, MoveDirectionality

from runtime.engine.sampler import Sampler
from runtime.engine.sampler_state import SamplerState
from runtime.engine.types import MAX_RAS_WINDOW
from runtime.engine.vllm.columns import Columns
from runtime.engine.vllm.order import StreamOrder


@dataclass(eq=False)
class _Row:
    """A stream in vLLM's batch. `first`: the position of its column 0; `kept`: vLLM's own list of the ids it kept."""

    place: int
    first: int
    kept: list[int]


class ColumnSampling(LogitsProcessor):
    """Chooses every stream's next column, writes it where the network will read it, and tells vLLM its codes."""

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        self._columns = columns = Columns.of(vllm_config)
        layout, places = columns.layout, columns.space.places
        self._sampler = Sampler(layout, device)
        self._kept, self._drawn = (SamplerState(places, layout, MAX_RAS_WINDOW, device) for _ in range(2))
        self._drawn_column = [0] * places  # the number of the column that `_drawn` has drawn last
        self._rows: dict[int, _Row] = {}

    def is_argmax_invariant(self) -> bool:
        """False: the id that vLLM takes is ours."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """vLLM says before each step how its batch has changed."""
        if batch_update is not None:
            for row in batch_update.removed:
                self._rows.pop(row, None)
            for row, parameters, _, kept in batch_update.added:
                self._rows.pop(row, None)
                if parameters.extra_args:  # a request of ours, not of vLLM's warm-up
                    order = StreamOrder.read(parameters.extra_args, self._columns.layout.num_codebooks)
                    self._rows[row] = self._join(order, kept)
            for source, target, direction in batch_update.moved:
                moved, other = self._rows.pop(source, None), self._rows.pop(target, None)
                if moved is not None:
                    self._rows[target] = moved
                if other is not None and direction == MoveDirectionality.SWAP:
                    self._rows[source] = other

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Overwrites logits, float32 [n, width], so that vLLM takes each stream's id and reports its codes."""
        if not self._rows:
            return logits
        rows, columns = [self._rows[row] for row in range(len(logits))], self._columns
        places = [row.place for row in rows]
        place, position = async_tensor_h2d(
            [places, [row.first + len(row.kept) + 1 for row in rows]], columns.device, torch.int64
        )
        kept = [row.place for row in rows if row.kept and len(row.kept) == self._drawn_column[row.place]]
        if kept:
            index = place if kept == places else async_tensor_h2d(kept, columns.device, torch.int64)
            self._kept.follow(index, self._drawn)
        state = self._kept.take(places, place)
        shape = (-1, columns.layout.num_codebooks, columns.layout.codebook_size)
        codes = self._sampler.step(state, logits.view(shape))
        self._drawn.put(place, state)
        for row in rows:
            self._drawn_column[row.place] = len(row.kept) + 1
        columns.spoken[place, position] = codes.to(torch.int16)
        logits.zero_()
        logits[:, : codes.shape[1]] = codes.to(logits.dtype)
        forced = float(columns.layout.codebook_size)  # above every code
        ids = place + columns.space.place(0)
        return logits.scatter_(1, ids[:, None], forced)

    def _join(self, order: StreamOrder, kept: list[int]) -> _Row:
        """A stream joins the batch: for the first time, or again after vLLM had to drop its keys and values."""
        device = self._columns.device
        if order.rows:
            rows = async_tensor_h2d(order.rows, device, torch.int64)
            self._columns.clips[rows] = async_tensor_h2d(order.columns, device)
        if not kept:
            tail = None if order.tail is None else async_tensor_h2d(order.tail.astype(np.int64), device)
            self._kept.begin(order.place, order.sampling, tail)
            self._drawn_column[order.place] = 0
        return _Row(order.place, order.first, kept)
