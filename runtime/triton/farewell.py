"""The end of a model's process whose device is lost: its launcher starts it again, and perhaps a fallback."""

from __future__ import annotations

import os
import signal
import threading

import triton_python_backend_utils as pb_utils

from runtime.formats.errors import CUDAFailureError, classify, sentence

_SECONDS = 1.0  # for the clients to hear of it


def end_process(model: str, reason: Exception) -> None:
    """End this process soon."""
    pb_utils.Logger.log_error(f"{model} ends, to be started again: {sentence(reason)}")
    threading.Timer(_SECONDS, os.kill, (os.getpid(), signal.SIGKILL)).start()


def end_if_lost(model: str, error: Exception) -> None:
    """End this process if an error means that its GPU will answer no more."""
    failure = classify(error)
    if not isinstance(failure, CUDAFailureError):
        return
    import torch  # noqa: PLC0415  (without a GPU, the codec's processes do without)

    from runtime.engine.devices import is_lost  # noqa: PLC0415

    if torch.cuda.is_initialized() and is_lost(torch.device("cuda"), failure):
        end_process(model, error)
