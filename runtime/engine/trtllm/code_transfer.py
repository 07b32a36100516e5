"""Copies codes from the device to the host, with pinned memory and an event, so that the step does not wait."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from queue import Empty, SimpleQueue

import numpy as np
import torch


def on_stream(device: torch.device, pointer: int) -> AbstractContextManager[object]:
    """Let torch work on the CUDA stream at `pointer`, a cudaStream_t; on a CPU there are no streams."""
    if device.type != "cuda":
        return nullcontext()
    # A null pointer means the default stream to CUDA, but to torch a new one that nothing waits for.
    stream = torch.cuda.ExternalStream(pointer, device) if pointer else torch.cuda.default_stream(device)
    return torch.cuda.stream(stream)


class Transfer:
    """One step's codes, under way."""

    def __init__(self, home: CodeTransfer, host: torch.Tensor, event: torch.cuda.Event | None, count: int) -> None:
        self._home, self._host, self._event, self._count = home, host, event, count

    def wait(self) -> np.ndarray:
        """The codes, int64 [n, num_codebooks]; blocks until they are there, without holding Python's lock.

        Raises RuntimeError when the device failed in the meantime.
        """
        if self._event is not None:
            self._event.synchronize()
        codes = self._host[: self._count].numpy().copy()
        self._home.recycle(self._host)
        return codes


class CodeTransfer:
    """Copies codes into pinned buffers, which it reuses.

    It allocates a buffer when none is free, so a slow reader costs memory (a buffer is a few kilobytes), never time.

    Args:
        slots, num_codebooks: the largest step.
    """

    def __init__(self, slots: int, num_codebooks: int, device: torch.device, ready: int = 16) -> None:
        self._shape = (slots, num_codebooks)
        self._cuda = device.type == "cuda"
        self._free: SimpleQueue[torch.Tensor] = SimpleQueue()
        for _ in range(ready):  # pinning memory waits for the device: not while streams run
            self._free.put(self._allocate())

    def send(self, codes: torch.Tensor) -> Transfer:
        """Start copying codes, int64 [n, num_codebooks], on the current stream; returns at once."""
        try:
            host = self._free.get_nowait()
        except Empty:
            host = self._allocate()
        host[: len(codes)].copy_(codes, non_blocking=True)
        event = None
        if self._cuda:
            # A thread that waits for a blocking event sleeps instead of spinning on a core the executor needs.
            event = torch.cuda.Event(blocking=True)
            event.record()
        return Transfer(self, host, event, len(codes))

    def recycle(self, host: torch.Tensor) -> None:
        """Take a buffer back."""
        self._free.put(host)

    def _allocate(self) -> torch.Tensor:
        return torch.empty(self._shape, dtype=torch.int64, pin_memory=self._cuda)
