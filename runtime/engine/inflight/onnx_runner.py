"""The language model on ONNX Runtime: one prefill or decode call at a time, the KV cache written in place.

It knows nothing about requests, sampling or scheduling. The cache has one slot-major buffer per layer and kind (keys or
values), [slots, num_kv_heads, positions, head_dim]: a prefill writes straight into its slot, a decode step runs over
the first n slots in one call, and freeing a slot in the middle means moving the last one into it.
"""

from __future__ import annotations

import math
import mmap
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from runtime.engine.contract import EVERY_ROW
from runtime.engine.types import CodebookLayout, ModelDescription, Segment, TextSegment
from runtime.formats.errors import ModelLoadingError

TEXT_GRAPH, AUDIO_GRAPH = "text.onnx", "audio.onnx"
_SLOTS_FROM = 1  # row 0 of the cache is a lone stream's company


class OnnxRunner:
    """The two exported graphs and the KV cache of all slots.

    Args:
        directory: the exported language model (`text.onnx`, `audio.onnx`, their weights, `lm.json`).
        max_streams: slots.
        max_positions: prompt plus generated columns a slot can hold.
        threads: ONNX Runtime's threads for one operator; 0 lets it choose.
        text_threads: the same where text is read; `threads` by default.

    Raises:
        ModelLoadingError: files are missing or unreadable, or `max_positions` exceeds the exported tables.
    """

    def __init__(
        self,
        directory: Path,
        max_streams: int,
        max_positions: int,
        threads: int = 0,
        text_threads: int | None = None,
    ) -> None:
        self.description = ModelDescription.read(directory / ModelDescription.FILE)
        if max_positions > self.description.max_positions:
            raise ModelLoadingError(
                f"{max_positions} positions are asked for, "
                f"but the model was exported for {self.description.max_positions}"
            )
        self._text = _session(directory / TEXT_GRAPH, threads if text_threads is None else text_threads)
        self._audio = _session(directory / AUDIO_GRAPH, threads)
        shape = (_SLOTS_FROM + max_streams, self.description.num_kv_heads, max_positions, self.description.head_dim)
        names = [f"{kind}_{layer}" for layer in range(self.description.num_layers) for kind in ("key", "value")]
        # Zeros that take memory page by page as positions are written, so an idle slot costs nothing.
        self._memory = {name: _pages(4 * math.prod(shape)) for name in names}
        self._rows = {name: np.frombuffer(pages, np.float32).reshape(shape) for name, pages in self._memory.items()}
        self._cache = {name: rows[_SLOTS_FROM:] for name, rows in self._rows.items()}
        self._cache_length = np.array(max_positions, dtype=np.int32)
        self._steps: dict[tuple[int, int], _DecodeStep] = {}

    @property
    def layout(self) -> CodebookLayout:
        """As `ModelRunner.layout`."""
        return self.description.layout

    @property
    def device(self) -> torch.device:
        """As `ModelRunner.device`."""
        return torch.device("cpu")

    def prefill(self, slot: int, position: int, segment: Segment) -> int:
        """As `ModelRunner.prefill`."""
        count = len(segment)
        if count == 0:
            return 0
        session = self._text if isinstance(segment, TextSegment) else self._audio
        # A binding points at memory without owning it: the arrays must outlive the run.
        last = np.array([position + count - 1], dtype=np.int32)
        if isinstance(segment, TextSegment):
            name, values = "ids", np.ascontiguousarray(segment.ids[None], dtype=np.int64)
        else:
            name, values = "columns", np.ascontiguousarray(segment.columns[None], dtype=np.int64)
        binding = self._bind(session, _SLOTS_FROM + slot, 1)
        binding.bind_cpu_input("last_positions", last)
        binding.bind_cpu_input(name, values)
        if session is self._audio:
            binding.bind_output("logits")
        session.run_with_iobinding(binding)
        return count

    def decode(self, columns: torch.Tensor, positions: list[int], rows: slice = EVERY_ROW) -> torch.Tensor:
        """As `ModelRunner.decode`."""
        first, last, _ = rows.indices(len(positions))
        # One row goes through other kernels than several rows, and they round differently, on some machines in one step
        # of hundreds: a stream's output would depend on whether others run. So a lone stream gets the row before it for
        # company: the dummy row, which stays at its first position, or a resting stream, whose newest column is
        # computed again.
        start = first - 1 if last - first == 1 else first
        if (start, last) not in self._steps:
            count = last - start
            binding = self._bind(self._audio, _SLOTS_FROM + start, count)
            self._steps[start, last] = _DecodeStep(binding, count, self.layout)
        step, real = self._steps[start, last], max(start, 0)
        step.columns[real - last :, 0] = columns[real:last].numpy()
        step.positions[real - last :] = positions[real:last]
        self._audio.run_with_iobinding(step.binding)
        return torch.from_numpy(step.logits[first - last :])

    def move(self, source: int, target: int, positions: int) -> None:
        """As `ModelRunner.move`."""
        for buffer in self._cache.values():
            buffer[target, :, :positions] = buffer[source, :, :positions]

    def release(self, first: int) -> None:
        """As `ModelRunner.release`."""
        for name, pages in self._memory.items():
            start = -(-(_SLOTS_FROM + first) * self._rows[name][0].nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
            if start < len(pages):
                pages.madvise(mmap.MADV_DONTNEED, start)

    @property
    def position_bytes(self) -> int:
        """As `ModelRunner.position_bytes`."""
        return sum(buffer[0, :, 0].nbytes for buffer in self._cache.values())

    def read(self, slot: int, start: int, stop: int) -> torch.Tensor:
        """As `ModelRunner.read`."""
        return torch.from_numpy(np.stack([buffer[slot, :, start:stop] for buffer in self._cache.values()]))

    def write(self, slot: int, start: int, values: torch.Tensor) -> None:
        """As `ModelRunner.write`."""
        for buffer, own in zip(self._cache.values(), values.numpy(), strict=True):
            buffer[slot, :, start : start + own.shape[1]] = own

    def _bind(self, session: onnxruntime.InferenceSession, first: int, rows: int) -> onnxruntime.IOBinding:
        """A binding of the cache's rows `first` to `first + rows`, past and present to the same memory."""
        binding = session.io_binding()
        binding.bind_cpu_input("cache_length", self._cache_length)
        for name, buffer in self._rows.items():
            view = buffer[first : first + rows]
            bound = ("cpu", 0, np.float32, view.shape, view.ctypes.data)
            binding.bind_input(f"past_{name}", *bound)
            binding.bind_output(f"present_{name}", *bound)
        return binding


class _DecodeStep:
    """The buffers of a decode step over `rows` rows, bound once: binding again would cost more than the sampling."""

    def __init__(self, binding: onnxruntime.IOBinding, rows: int, layout: CodebookLayout) -> None:
        self.binding = binding
        self.columns = np.zeros((rows, 1, layout.num_codebooks), dtype=np.int64)
        self.positions = np.zeros(rows, dtype=np.int32)
        self.logits = np.empty((rows, layout.num_codebooks, layout.codebook_size), dtype=np.float32)
        for name, array in (("columns", self.columns), ("last_positions", self.positions)):
            binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        binding.bind_output("logits", "cpu", 0, np.float32, self.logits.shape, self.logits.ctypes.data)


def _pages(nbytes: int) -> mmap.mmap:
    """Zeroed memory that can be given back in part; in large pages where there are, as numpy has it."""
    pages = mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without them
        pages.madvise(mmap.MADV_HUGEPAGE)
    return pages


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads spin between the operators of a run, since the gaps are too short to sleep in, and stop spinning after the
    # run: then the cores belong to the codec and to Triton's other processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelLoadingError(f"{path} cannot be loaded by ONNX Runtime: {error}") from error
