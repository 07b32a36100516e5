"""The codec's networks as functions of one array, independent of the engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from runtime.formats.errors import ModelLoadingError

Network = Callable[[np.ndarray], np.ndarray]


def open_network(directory: Path, name: str, settings: dict[str, Any]) -> Network:
    """Open a network with the engine that the setting `engine` names: onnxruntime (the default) reads `NAME.onnx`,
    tensorrt-rtx reads `NAME.engine`, and tensorrt uses the Triton model that the setting `plan` describes.

    Raises:
        ModelLoadingError: the engine is unknown, or its file is missing or does not fit the machine.
    """
    engine = settings.get("engine", "onnxruntime")
    # Each engine imports only what it needs: a CPU needs no torch here, and a GPU machine may lack ONNX Runtime.
    if engine == "tensorrt-rtx":
        from runtime.codec.rtx import RtxNetwork  # noqa: PLC0415

        return RtxNetwork.load(directory / f"{name}.engine")
    if engine == "tensorrt":
        from runtime.codec.tensorrt_plan import PlanModel  # noqa: PLC0415

        return PlanModel(**settings["plan"])
    if engine != "onnxruntime":
        raise ModelLoadingError(f"the codec has no engine {engine!r}; there are onnxruntime, tensorrt and tensorrt-rtx")
    from runtime.codec.onnx import session  # noqa: PLC0415

    opened = session(directory / f"{name}.onnx", settings["threads"])
    (only,) = opened.get_inputs()
    return lambda values: opened.run(None, {only.name: values})[0]
