"""The codec's networks as functions of one array, whatever runs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from runtime.formats.errors import ModelLoadingError

Network = Callable[[np.ndarray], np.ndarray]


def open_network(directory: Path, name: str, settings: dict[str, Any]) -> Network:
    """Open a network, as the setting `engine` says: `NAME.onnx` with onnxruntime (the default), `NAME.engine` with
    tensorrt-rtx, or with tensorrt the Triton model that the setting `plan` describes.

    Raises:
        ModelLoadingError: the engine is unknown, or its file is missing or does not fit the machine.
    """
    engine = settings.get("engine", "onnxruntime")
    # Each imports what only it needs: a CPU has no use for torch here, and a GPU need not have ONNX Runtime.
    if engine == "tensorrt-rtx":
        from runtime.codec.rtx import RtxNetwork  # noqa: PLC0415

        return RtxNetwork.load(directory / f"{name}.engine")
    if engine == "tensorrt":
        from runtime.codec.plan import PlanModel  # noqa: PLC0415

        return PlanModel(**settings["plan"])
    if engine != "onnxruntime":
        raise ModelLoadingError(f"the codec has no engine {engine!r}; there are onnxruntime and tensorrt, tensorrt-rtx")
    from runtime.codec.onnx import session  # noqa: PLC0415

    opened = session(directory / f"{name}.onnx", settings["threads"])
    (only,) = opened.get_inputs()
    return lambda values: opened.run(None, {only.name: values})[0]
