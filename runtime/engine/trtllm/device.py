"""What we keep on the GPU beside the executor: frame table, sampler, and the callback that turns codes into rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from runtime.engine.devices import is_lost
from runtime.engine.sampler import Sampler
from runtime.engine.sampler_state import SamplerState
from runtime.engine.trtllm.code_transfer import CodeTransfer, Transfer
from runtime.engine.trtllm.column_step import ColumnStep, cuda_graph_recorder
from runtime.engine.trtllm.executor_config import BuiltEngine, ExecutorOptions
from runtime.engine.trtllm.frame_table import FrameTable, end_id, read_audio_embedding
from runtime.engine.trtllm.step_callback import StepCallback
from runtime.engine.trtllm.stream import TrtllmStream
from runtime.engine.types import AUDIO_EMBEDDING, MAX_RAS_WINDOW, CodebookLayout, Limits
from runtime.formats.errors import RequestError


class Device:
    """The table whose rows the executor reads, and the step that writes them.

    Args:
        directory: holds the embedding that frames are summed from.

    Raises:
        ModelLoadingError: it is missing or does not fit.
    """

    def __init__(
        self,
        directory: Path,
        layout: CodebookLayout,
        limits: Limits,
        built: BuiltEngine,
        options: ExecutorOptions,
    ) -> None:
        self._device, self._layout = torch.device(options.device), layout
        self._slots = limits.max_streams + 1  # the callback moves by way of one more
        weights = read_audio_embedding(directory / AUDIO_EMBEDDING, layout).to(self._device, built.dtype)
        self.table = FrameTable(weights, layout, limits.max_streams, built.rows, self._slots)
        on_gpu = self._device.type == "cuda"
        self._upload = torch.cuda.Stream(self._device) if on_gpu else None
        self._column_step = ColumnStep(
            layout,
            Sampler(layout, self._device, asynchronous=True),
            SamplerState(self._slots, layout, MAX_RAS_WINDOW, self._device),
            self.table,
            self._device,
        )
        if on_gpu:
            if options.cuda_graphs:
                self._column_step.record(cuda_graph_recorder())
            torch.cuda.synchronize(self._device)  # the executor's stream does not wait for what was set up here

    def is_lost(self, failure: RequestError) -> bool:
        """As `devices.is_lost`."""
        return is_lost(self._device, failure)

    def callback(
        self,
        streams: Mapping[int, TrtllmStream],
        on_codes: Callable[[list[TrtllmStream], Transfer], None],
        on_error: Callable[[list[TrtllmStream], Exception], None],
    ) -> StepCallback[TrtllmStream]:
        """The executor's callback over `streams`, by key; `StepCallback` explains the rest."""
        transfer = CodeTransfer(self._slots, self._layout.num_codebooks, self._device)
        return StepCallback(
            streams, self._column_step, end_id(self._layout), transfer, self._device, on_codes, on_error
        )

    def place(self, stream: TrtllmStream) -> torch.Tensor:
        """Write a stream's clips and its column 0 into its place; returns its table, a view of [rows, hidden]."""
        with torch.cuda.stream(self._upload):  # no stream on a CPU, where this does nothing
            columns = torch.from_numpy(stream.tokens.columns).to(self._device)
            stream.table = self.table.fill(stream.place, columns)
            tail = stream.request.prompt.tail
            stream.tail = None if tail is None else torch.from_numpy(tail).to(self._device)
        if self._upload is not None:
            self._upload.synchronize()  # the executor's stream knows nothing of this one
        return stream.table
