"""Whether a device still works after a failure."""

from __future__ import annotations

import torch

from runtime.formats.errors import is_out_of_memory


def answers(device: torch.device) -> bool:
    """Whether a device computes; after some failures CUDA answers every later call of the process with an error.

    One that has no memory left says so, and computes.
    """
    try:
        return torch.ones(1, device=device).item() == 1.0
    except RuntimeError as error:
        return is_out_of_memory(error)
