"""In which form the language model leaves the converter: one entry an engine that can run it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from convert import lm, lm_check, lm_tensorrt_rtx, lm_vllm, trtllm, trtllm_check
from convert.checkpoint import Checkpoint
from convert.errors import ExportError, ModelLoadingError
from convert.lm_check import LogitsError
from convert.quantised import Quantisation
from convert.quantised_forms import KINDS
from convert.quantization import PRECISIONS


@dataclass(frozen=True)
class LmFormat:
    """How the language model is written, and compared with transformers once it is.

    `write` takes the checkpoint, the folder `lm/` to create, the precision and the largest number of positions;
    `check` the checkpoint, that folder and the precision, and raises ExportError when its tolerance is exceeded.
    `quantised`: the kinds of numbers that it takes in a checkpoint that is quantised already, in `QUANTISED_PRECISION`.
    """

    name: str
    precisions: tuple[str, ...]
    write: Callable[[Checkpoint, Path, str, int], None]
    check: Callable[[Checkpoint, Path, str], LogitsError]
    quantised: tuple[str, ...] = ()

    def check_quantised(self, source: str, found: Quantisation, precision: str) -> None:
        """Raises ModelLoadingError for weights of a kind, or in a precision, in which the engine does not take them."""
        strange = [kind for kind in found.kinds if kind not in self.quantised]
        if strange:
            raise ModelLoadingError(
                f"{source}: the weights are quantised already ({found.method}, {strange[0]}); the format {self.name} "
                f"takes {', '.join(self.quantised)}."
            )
        if precision != QUANTISED_PRECISION:
            raise ModelLoadingError(
                f"{source}: the weights are quantised already ({found.method}), and vLLM computes with such in "
                f"{QUANTISED_PRECISION}, not in {precision}: give --precision {QUANTISED_PRECISION} (make: PRECISION=)."
            )


QUANTISED_PRECISION = "bf16"
# What vLLM 0.30 runs on a CPU with AVX-512; it does not start on the others (tests/vllm/test_quantised.py).
_ON_CPUS = ("int4", "int8", "int8 with one scale", "e4m3")

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
        LmFormat("vllm", tuple(lm_vllm.FLOAT_TYPES), lm_vllm.export, lm_vllm.compare, KINDS),
        LmFormat("vllm-cpu", ("fp32", "bf16"), lm_vllm.export, lm_vllm.compare, _ON_CPUS),
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
