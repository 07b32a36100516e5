"""The codec's networks as functions of one array, whatever runs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import ModelLoadingError
from common.onnx import session

Network = Callable[[np.ndarray], np.ndarray]


def open_network(directory: Path, name: str, settings: dict[str, Any]) -> Network:
    """Open `NAME.onnx` or `NAME.engine`, as the setting `engine` says (onnxruntime, the default, or tensorrt-rtx).

    Raises:
        ModelLoadingError: the engine is unknown, or its file is missing or does not fit the machine.
    """
    engine = settings.get("engine", "onnxruntime")
    if engine == "tensorrt-rtx":
        from common.rtx import RtxNetwork  # noqa: PLC0415 - brings torch along, 200 MB that the CPU can do without

        return RtxNetwork.load(directory / f"{name}.engine")
    if engine != "onnxruntime":
        raise ModelLoadingError(f"the codec has no engine {engine!r}; there are onnxruntime and tensorrt-rtx")
    opened = session(directory / f"{name}.onnx", settings["threads"])
    (only,) = opened.get_inputs()
    return lambda values: opened.run(None, {only.name: values})[0]
