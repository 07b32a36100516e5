"""Running a compiled graph on tensors that stay where they are: the one thing that needs the graph's own hardware.

`RtxRunner` knows the language model's graph and keeps its cache; what runs the graph is one of these:
`rtx_executor.RtxExecutor` over the engine compiled for a GPU. `convert/onnx_executor.py` has one for the
CPU, to check an export and to test everything around the execution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch

# The shapes a graph is compiled for, in the order of the engine's optimization profiles: each kind of call reads one
# modality, so that the compiler knows the other feed-forward network idle.
DECODE, TEXT, AUDIO = "decode", "text", "audio"
PROFILES = (DECODE, TEXT, AUDIO)


@dataclass(frozen=True)
class GraphLimits:
    """The largest shapes a graph takes: rows of a decode step, positions of a prefill call and of the past."""

    max_rows: int
    max_prefill: int
    max_past: int


@dataclass(frozen=True, eq=False)
class Binding:
    """Where a call's inputs and outputs lie, by the graph's names. Bound once, it can be executed many times."""

    profile: str
    tensors: Mapping[str, torch.Tensor]


class GraphExecutor(Protocol):
    """Executes a graph on the memory a binding names."""

    @property
    def device(self) -> torch.device: ...
    @property
    def cache_dtype(self) -> torch.dtype: ...
    @property
    def limits(self) -> GraphLimits: ...
    def execute(self, binding: Binding) -> None:
        """Run the graph; its outputs are in place for whatever the caller does next on its current stream."""
        ...


def address(tensor: torch.Tensor) -> int:
    """Where a tensor's memory begins: also an empty one's, which torch gives as 0 and runtimes refuse."""
    return int(tensor.untyped_storage().data_ptr() + tensor.storage_offset() * tensor.element_size())
