"""Runs a compiled graph on tensors that stay in place: the only part that needs the graph's own hardware.

`RtxRunner` knows the language model's graph and keeps its cache; a graph executor runs the graph:
`rtx_executor.RtxExecutor` runs the engine compiled for a GPU. `convert/onnx_executor.py` has one for the CPU, to check
an export and to test everything around the execution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch

# The shapes a graph is compiled for, in the order of the engine's optimization profiles: each kind of call reads one
# modality, so that the compiler knows that the other feed-forward network is idle.
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
    """The tensors of a call's inputs and outputs, by the graph's names. Bind once, execute many times."""

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
        """Run the graph; its outputs are ready for whatever the caller does next on its current stream."""
        ...


def address(tensor: torch.Tensor) -> int:
    """The address of a tensor's memory, also for an empty tensor: torch returns 0 there, which runtimes refuse."""
    return int(tensor.untyped_storage().data_ptr() + tensor.storage_offset() * tensor.element_size())
