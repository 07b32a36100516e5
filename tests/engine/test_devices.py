"""Which devices are said to work; `tests/gpu` asks real ones."""

from __future__ import annotations

import pytest
import torch

from runtime.engine.devices import answers


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
