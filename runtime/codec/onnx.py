"""Opening an exported network of the codec."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from runtime.formats.errors import ModelLoadingError


def session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """A session on the CPU. Raises ModelLoadingError when the file is missing or not a network."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Spinning threads would take cores from the language model.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelLoadingError(f"{path.name} cannot be loaded by ONNX Runtime: {error}") from error
