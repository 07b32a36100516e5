"""Whether a device still works after a failure."""

from __future__ import annotations

import torch

from runtime.formats.errors import CUDAFailureError, RequestError, is_out_of_memory

# CUDA's word, it seems, for a kernel that was first needed while there was no memory for its code: on an H100, with
# memory free again, all others ran, and this one failed whenever it was called (twice).
_NEVER_LOADED = "unknown error"


def is_lost(device: torch.device, failure: RequestError) -> bool:
    """Whether a failure means that this process has lost a device, or a kernel of it."""
    return isinstance(failure, CUDAFailureError) and (_NEVER_LOADED in str(failure) or not answers(device))


def answers(device: torch.device) -> bool:
    """Whether a device computes; after some failures CUDA answers every later call of the process with an error.

    One that has no memory left says so, and computes.
    """
    try:
        return torch.ones(1, device=device).item() == 1.0
    except RuntimeError as error:
        return is_out_of_memory(error)
