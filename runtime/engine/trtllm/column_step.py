"""From logits to the next column, in fixed buffers: the part of a step that consists of kernels only.

There are more than a hundred of them, most too short to be worth a launch of their own. On a GPU they are recorded once
as CUDA graphs, for each number of streams and for all-greedy steps or not; a step then costs one launch. Recording is
possible because nothing in here waits for the device, allocates depending on a value, or changes shape with anything
but those two.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

import torch

from runtime.engine.sampler import Sampler
from runtime.engine.sampler_state import SamplerState
from runtime.engine.trtllm.frame_table import FrameTable, table_ids
from runtime.engine.types import CodebookLayout, SamplingParameters

# Far above every other logit, which are set to 0; finite, and small enough for float16, so that the executor's softmax
# has no infinity to trip over.
FORCED = 1000.0

Kernels = Callable[[], None]

logger = logging.getLogger(__name__)


class ColumnStep:
    """Sampling, the frame table and the forced ids of streams in slots 0..n-1.

    `logits`: float32 [slots, num_codebooks, codebook_size], what `run` reads. `codes`: int64 [slots, num_codebooks]
    and `forced`: float32 [slots, ids], the logits that make the executor take each stream's next row, are its outputs.
    """

    def __init__(
        self, layout: CodebookLayout, sampler: Sampler, state: SamplerState, table: FrameTable, device: torch.device
    ) -> None:
        self._layout, self._sampler, self._state, self._table = layout, sampler, state, table
        slots = len(state.column)
        self.logits = torch.zeros(slots, layout.num_codebooks, layout.codebook_size, device=device)
        self.codes = torch.zeros(slots, layout.num_codebooks, dtype=torch.int64, device=device)
        self.forced = torch.zeros(slots, table_ids(layout), device=device)
        self._widths = (1, layout.codebook_size)  # all streams greedy, or not
        self._graphs: dict[tuple[int, int], Kernels] = {}

    def begin(
        self, slot: int, parameters: SamplingParameters, tail: torch.Tensor | None, place: int, rows: int
    ) -> None:
        """Start a stream in `slot`, as `SamplerState.begin` and `FrameTable.begin` explain."""
        self._state.begin(slot, parameters, tail)
        self._table.begin(slot, place, rows)

    def move(self, source: int, target: int) -> None:
        """Give the stream in slot `source` the slot `target`."""
        self._state.move(source, target)
        self._table.move(source, target)

    def run(self, n: int) -> None:
        """One step of the first n slots."""
        width = self._width(n)
        kernels = self._graphs.get((n, width))
        if kernels is None:
            self._kernels(n, width)
        else:
            kernels()

    @torch.inference_mode()
    def record(self, record: Callable[[Kernels], Kernels]) -> None:
        """Record a graph for every possible step. Call it before the first stream: recording also runs the kernels.

        If the device or driver cannot record graphs, serving still works: steps launch their kernels one by one.
        """
        try:
            for width in self._widths:
                for n in range(len(self.codes) - 1, 0, -1):  # the largest first, which sizes the scratch memory
                    self._graphs[n, width] = record(partial(self._kernels, n, width))
        except RuntimeError:
            self._graphs.clear()
            logger.exception("the steps could not be recorded as CUDA graphs; they run without")

    def _width(self, n: int) -> int:
        """How many of the likeliest codes are considered."""
        greedy, sampled = self._widths
        return greedy if self._state.candidates(n) == greedy else sampled

    def _kernels(self, n: int, width: int) -> None:
        self.codes[:n] = self._sampler.step(self._state, self.logits[:n], width)
        ids = self._table.write(self.codes[:n], self._state.column[:n])
        self.forced[:n].zero_().scatter_(1, ids[:, None], FORCED)


def cuda_graph_recorder() -> Callable[[Kernels], Kernels]:
    """A function that records kernels as a CUDA graph and returns one that replays it on the current stream.

    All graphs take their scratch memory from one pool: no two run at a time, and nothing in it outlives a step.
    """
    pool = torch.cuda.graph_pool_handle()

    def record(kernels: Kernels) -> Kernels:
        kernels()  # once outside a graph: libraries set up what may not be set up while recording
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        # Thread-local: calls by the codec or the executor on other threads must not affect this recording.
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            kernels()
        replay: Kernels = graph.replay
        return replay

    return record
