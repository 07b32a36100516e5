"""Which devices are said to work; `tests/gpu` asks real ones."""

from __future__ import annotations

import pytest
import torch

from runtime.engine.devices import answers, is_lost
from runtime.formats.errors import CUDAFailureError, MemoryExhaustionError, RequestError


@pytest.mark.parametrize(
    ("error", "works"),
    [("CUDA out of memory. Tried to allocate 2.00 MiB.", True), ("CUDA error: device-side assert triggered", False)],
)
def test_a_full_device_works_and_a_lost_one_does_not(monkeypatch: pytest.MonkeyPatch, error: str, works: bool) -> None:
    def fail(*_: object, **__: object) -> torch.Tensor:
        raise RuntimeError(error)

    assert answers(torch.device("cpu"))
    monkeypatch.setattr(torch, "ones", fail)
    assert answers(torch.device("cuda")) == works


@pytest.mark.parametrize(
    ("failure", "lost"),
    [
        (CUDAFailureError("the GPU step failed (AcceleratorError: CUDA error: unknown error\nSearch for …)"), True),
        (CUDAFailureError("the GPU step failed (RuntimeError: cuDNN error: CUDNN_STATUS_INTERNAL_ERROR)"), False),
        (
            MemoryExhaustionError("the generation step needed more memory than is free (CUDA error: out of memory)"),
            False,
        ),
    ],
)
def test_a_kernel_that_was_never_loaded_is_lost_though_its_device_computes(failure: RequestError, lost: bool) -> None:
    assert is_lost(torch.device("cpu"), failure) == lost
