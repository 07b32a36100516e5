"""Finds TensorRT-RTX's Python module, which compiles the engines and runs the language model and the codec."""

from __future__ import annotations

import importlib
from typing import Any

from runtime.formats.errors import ModelLoadingError

TENSORRT_RTX_MODULES = ("tensorrt_rtx", "tensorrt_rtx_bindings")  # the metapackage's name, and the wheels' own


def tensorrt_rtx() -> Any:
    """The module. Raises ModelLoadingError when it is not installed."""
    for name in TENSORRT_RTX_MODULES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ModelLoadingError("TensorRT-RTX is not installed; install the package tensorrt-rtx-cu12")
