"""In which form the language model leaves the converter: one entry an engine that can run it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from convert import lm, lm_check, lm_tensorrt_rtx, lm_vllm, trtllm, trtllm_check
from convert.checkpoint import Checkpoint
from convert.errors import ExportError
from convert.lm_check import LogitsError
from convert.quantization import PRECISIONS


@dataclass(frozen=True)
class LmFormat:
    """How the language model is written, and compared with transformers once it is.

    `write` takes the checkpoint, the folder `lm/` to create, the precision and the largest number of positions;
    `check` the checkpoint, that folder and the precision, and raises ExportError when its tolerance is exceeded.
    """

    name: str
    precisions: tuple[str, ...]
    write: Callable[[Checkpoint, Path, str, int], None]
    check: Callable[[Checkpoint, Path, str], LogitsError]


FORMATS = {
    f.name: f
    for f in (
        LmFormat("onnx", tuple(PRECISIONS), lm.export, lm_check.compare),
        LmFormat("tensorrt-llm", tuple(trtllm.PRECISIONS), trtllm.export, trtllm_check.compare),
        LmFormat(
            "tensorrt-rtx",
            tuple(lm_tensorrt_rtx.FLOAT_TYPES),
            lm_tensorrt_rtx.export,
            lm_check.compare_tensorrt_rtx,
        ),
        LmFormat("vllm", tuple(lm_vllm.FLOAT_TYPES), lm_vllm.export, lm_vllm.compare),
    )
}
ALL_PRECISIONS = sorted({precision for f in FORMATS.values() for precision in f.precisions})


def lm_format(name: str, precision: str) -> LmFormat:
    """The format of that name. Raises ExportError when it is unknown or cannot hold the precision."""
    if name not in FORMATS:
        raise ExportError(f"the language-model format {name!r} is unknown; there are {', '.join(FORMATS)}.")
    found = FORMATS[name]
    if precision not in found.precisions:
        raise ExportError(
            f"the format {name} has no precision {precision}; it has {', '.join(found.precisions)} (--precision)."
        )
    return found
