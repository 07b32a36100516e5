"""Compiles the codec's networks into TensorRT plans for Triton's own TensorRT backend, on the data-centre card.

It uses the same builder as `build/rtx.py`, with TensorRT itself, which compiles and times kernels for the GPU it finds.
So it runs in the GPU container, on a machine with the target's card.
"""

from __future__ import annotations

from pathlib import Path

from build.container import IMAGE
from build.errors import BuildError
from build.onnx_compiler import EngineReport, compile_onnx, compiler
from build.rtx import CodecShapes, codec_profile


def compile_plan(onnx: Path, plan: Path, shapes: CodecShapes, compute_capability: str) -> EngineReport:
    """Compile the codec's `decoder.onnx` or `encoder.onnx` for the card at hand.

    compute_capability: the target's, which the card must have; torch reports the card's.

    Raises:
        BuildError: TensorRT is missing, the card is another one, or the network cannot be compiled.
    """
    module = compiler(
        ("tensorrt",), f"TensorRT is not installed; plans are built in the GPU container, which has it ({IMAGE})"
    )
    found = card()
    if found != compute_capability:
        raise BuildError(
            f"plans for compute capability {compute_capability} must be built on such a card; this machine has "
            f"{found or 'no GPU that torch can see'}"
        )
    return compile_onnx(module, onnx, plan, [codec_profile(shapes)], compute_capability)


def card() -> str:
    """The compute capability of the first GPU, such as "9.0"; "" without one."""
    import torch  # noqa: PLC0415 - takes a second, and only building a plan needs it

    if not torch.cuda.is_available():
        return ""
    return "{}.{}".format(*torch.cuda.get_device_capability())
