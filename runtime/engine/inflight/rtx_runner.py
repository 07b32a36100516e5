"""The language model as one compiled graph: prefill and decode calls over a cache that stays bound in place.

It knows the graph's inputs and outputs (`convert/lm_tensorrt_rtx.py` explains them), but nothing about who executes it,
or about requests, sampling or scheduling. All tensors live on the executor's device. A decode step copies the newest
columns and positions into buffers that are bound once for each number of rows and cache length, and runs; the new keys
and values are then stored in the cache in one operation.
"""

from __future__ import annotations

from pathlib import Path

import torch

from runtime.engine.contract import EVERY_ROW
from runtime.engine.inflight.graph_executor import AUDIO, DECODE, TEXT, Binding, GraphExecutor
from runtime.engine.inflight.kv_cache import KvCache
from runtime.engine.inflight.rtx_executor import RtxExecutor
from runtime.engine.types import CodebookLayout, ModelDescription, Segment, TextSegment
from runtime.formats.errors import ModelLoadingError

ENGINE = "lm.engine"
_KEPT_STEPS = 64  # bindings of decode steps: of the cache lengths in use, every number of rows


class RtxRunner:
    """A model runner over one graph.

    Args:
        executor: runs the graph.
        description: the model, as its exporter wrote it down.
        max_streams: slots.
        max_positions: prompt plus generated columns a slot can hold.

    Raises:
        ModelLoadingError: the graph was compiled for less than that.
    """

    def __init__(
        self, executor: GraphExecutor, description: ModelDescription, max_streams: int, max_positions: int
    ) -> None:
        limits = executor.limits
        for asked, allowed, what in (
            (max_positions, min(description.max_positions, limits.max_past), "positions are"),
            (max_streams, limits.max_rows, "streams are"),
        ):
            if asked > allowed:
                raise ModelLoadingError(f"{asked} {what} asked for, but the model was compiled for {allowed}")
        self.description = description
        self._executor = executor
        self._cache = KvCache(
            description.num_layers,
            description.num_kv_heads,
            description.head_dim,
            max_streams,
            max_positions,
            executor.cache_dtype,
            executor.device,
        )
        self._steps: dict[tuple[int, int], Binding] = {}

    @classmethod
    def load(cls, directory: Path, max_streams: int, max_positions: int) -> RtxRunner:
        """The engine in a folder (`lm.engine`, `lm.json`), on the current GPU.

        Raises:
            ModelLoadingError: a file, TensorRT-RTX or a fitting GPU is missing, or the limits are too high.
        """
        description = ModelDescription.read(directory / ModelDescription.FILE)
        return cls(RtxExecutor.load(directory / ENGINE), description, max_streams, max_positions)

    @property
    def layout(self) -> CodebookLayout:
        """As `ModelRunner.layout`."""
        return self.description.layout

    @property
    def device(self) -> torch.device:
        """As `ModelRunner.device`."""
        return self._executor.device

    @property
    def cache(self) -> KvCache:
        """The keys and values of all slots."""
        return self._cache

    def prefill(self, slot: int, position: int, segment: Segment) -> int:
        """As `ModelRunner.prefill`."""
        count = len(segment)
        if count == 0:
            return 0
        self._cache.prepare(slot, [position + count], free_from=slot + 1)
        piece = self._executor.limits.max_prefill
        for start in range(0, count, piece):
            self._prefill(slot, position + start, segment.slice(slice(start, start + piece)))
        return count

    def decode(self, columns: torch.Tensor, positions: list[int], rows: slice = EVERY_ROW) -> torch.Tensor:
        """As `ModelRunner.decode`. Every stream is stepped: on a GPU the weights cost, not the rows."""
        count = len(positions)
        # Slot n may belong to the stream whose prompt is being read.
        self._cache.prepare(0, [position + 1 for position in positions], free_from=count + 1)
        key = (count, self._cache.capacity)
        if key not in self._steps:
            if len(self._steps) >= _KEPT_STEPS:
                del self._steps[next(iter(self._steps))]
            self._steps[key] = self._bind(DECODE, 0, count, 1, is_audio=True)
        binding = self._steps[key]
        binding.tensors["columns"][:, 0] = columns
        binding.tensors["positions"][:, 0] = self._on_device(torch.tensor(positions))
        self._run(binding, 0)
        return binding.tensors["logits"][rows]

    def move(self, source: int, target: int, positions: int) -> None:
        """As `ModelRunner.move`."""
        self._cache.move(source, target, positions)

    def release(self, first: int) -> None:
        """Like `ModelRunner.release`: nothing, because slots change places in memory taken at the start."""

    @property
    def position_bytes(self) -> int:
        """As `ModelRunner.position_bytes`."""
        return self._cache.position_bytes

    def read(self, slot: int, start: int, stop: int) -> torch.Tensor:
        """As `ModelRunner.read`, in the host's memory and of the cache's dtype."""
        return self._cache.read(slot, start, stop).cpu()

    def write(self, slot: int, start: int, values: torch.Tensor) -> None:
        """As `ModelRunner.write`."""
        self._cache.prepare(slot, [start + values.shape[2]], free_from=slot + 1)
        self._cache.write(slot, start, self._on_device(values))

    def _prefill(self, slot: int, position: int, segment: Segment) -> None:
        is_text = isinstance(segment, TextSegment)
        binding = self._bind(TEXT if is_text else AUDIO, slot, 1, len(segment), is_audio=not is_text)
        if isinstance(segment, TextSegment):
            binding.tensors["ids"][0] = self._on_device(torch.from_numpy(segment.ids))
        else:
            binding.tensors["columns"][0] = self._on_device(torch.from_numpy(segment.columns))
        binding.tensors["positions"][0] = torch.arange(position, position + len(segment), device=self.device)
        self._run(binding, slot)

    def _run(self, binding: Binding, slot: int) -> None:
        self._executor.execute(binding)
        self._cache.store(binding.tensors["new_key_values"], slot, binding.tensors["positions"])

    def _bind(self, profile: str, slot: int, rows: int, sequence: int, is_audio: bool) -> Binding:
        """Buffers for a call over consecutive slots, all of one modality, with the cache as it lies now."""
        layout, model, device = self.layout, self.description, self.device

        def integers(*shape: int, fill: int = 0) -> torch.Tensor:
            return torch.full(shape, fill, dtype=torch.int64, device=device)

        every_row = torch.arange(rows * sequence, device=device)
        no_row = every_row[:0]
        new = (2 * model.num_layers, rows, model.num_kv_heads, sequence, model.head_dim)
        return Binding(
            profile,
            {
                "ids": integers(rows, sequence),
                "columns": integers(rows, sequence, layout.num_codebooks),
                "modality": integers(rows, sequence, fill=int(is_audio)),
                "positions": integers(rows, sequence),
                "text_rows": no_row if is_audio else every_row,
                "audio_rows": every_row if is_audio else no_row,
                "row_order": every_row,
                **self._cache.past(slot, rows),
                "logits": torch.empty((rows, layout.num_codebooks, layout.codebook_size), device=device),
                "new_key_values": torch.empty(new, dtype=self._executor.cache_dtype, device=device),
            },
        )

    def _on_device(self, values: torch.Tensor) -> torch.Tensor:
        """Copy to the device without waiting for its pending work, as a copy from pageable memory would."""
        if self.device.type != "cuda":
            return values
        return values.pin_memory().to(self.device, non_blocking=True)
