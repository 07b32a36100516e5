"""Compiles exported networks into TensorRT-RTX engines, for GeForce and RTX cards. Needs the library, but no GPU.

    python -m build.rtx EXPORTS --output DIR --compute-capability 8.9 [--streams …]

`make engine TARGET=rtx4090` does the same and assembles a bundle; this command is for other cards of this kind.
The engines hold no kernels yet: a card compiles them when it first runs an engine.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from build.errors import BuildError
from build.exports import Exports
from build.onnx_compiler import AxisRange, EngineReport, Profile, compile_onnx, compiler
from build.targets import load_target
from runtime.engine.types import ModelDescription
from runtime.formats.tensorrt_rtx import TENSORRT_RTX_MODULES

LM_ENGINE, DECODER_ENGINE, ENCODER_ENGINE = "lm.engine", "decoder.engine", "encoder.engine"
_TARGET = load_target("rtx4090")  # the limits of a card of this kind


@dataclass(frozen=True)
class LmShapes:
    """What the language model's engine must take: streams a step, positions a prefill call and of one stream."""

    max_streams: int
    max_prefill: int
    max_positions: int


@dataclass(frozen=True)
class CodecShapes:
    """What a codec network's engine must take: rows of a batch, frames of a row."""

    max_batch: int
    min_frames: int
    typical_frames: int
    max_frames: int


def compile_lm(exports: Path, engine: Path, shapes: LmShapes, compute_capability: str) -> EngineReport:
    """Compile `lm/lm.onnx` of a conversion with `--lm-format tensorrt-rtx`; `lm_profiles` explains the shapes.

    Raises:
        BuildError: the library or the export is missing or unfit, or the compute capability unknown.
    """
    try:
        description = json.loads((exports / "lm" / ModelDescription.FILE).read_text())
    except (OSError, ValueError) as error:
        raise BuildError(f"{exports} holds no language model ({error}); run the conversion first") from error
    if shapes.max_positions > description["max_positions"]:
        raise BuildError(
            f"{shapes.max_positions} positions are asked for, "
            f"but the model was exported for {description['max_positions']}"
        )
    return _compile(exports / "lm" / "lm.onnx", engine, lm_profiles(shapes), compute_capability)


def compile_codec(onnx: Path, engine: Path, shapes: CodecShapes, compute_capability: str) -> EngineReport:
    """Compile the codec's `decoder.onnx` or `encoder.onnx`. Raises BuildError as `compile_lm` does."""
    return _compile(onnx, engine, [codec_profile(shapes)], compute_capability)


def lm_profiles(shapes: LmShapes) -> list[Profile]:
    """One profile for each kind of call, in the order of `engine.graph_executor.PROFILES`: decode, text, audio.

    Each reads one modality, so that the compiler leaves the other's feed-forward network out; the weights are in the
    engine once. A decode step is many streams of one position, a prefill one stream of many positions.
    """
    none, positions = AxisRange(0, 0, 0), shapes.max_positions
    past = AxisRange(1, max(1, positions // 4), positions)
    # For exactly one row, weights have another layout and would be in the engine twice.
    streams = AxisRange(1, 1, max(2, shapes.max_streams))
    prompt = AxisRange(1, shapes.max_prefill, shapes.max_prefill)
    one = AxisRange(1, 1, 1)
    decode = {"batch": streams, "sequence": one, "rows": streams, "num_text_rows": none, "num_audio_rows": streams}
    prefill = {"batch": one, "sequence": prompt, "rows": prompt}
    return [
        {**decode, "past": past},
        {**prefill, "num_text_rows": prompt, "num_audio_rows": none, "past": past},
        {**prefill, "num_text_rows": none, "num_audio_rows": prompt, "past": past},
    ]


def codec_profile(shapes: CodecShapes) -> Profile:
    """A profile whose kernels are tuned for one row: the first sound of a lone stream matters most."""
    frames = AxisRange(shapes.min_frames, shapes.typical_frames, shapes.max_frames)
    return {"batch": AxisRange(1, 1, shapes.max_batch), "frames": frames}


def _compile(onnx: Path, engine: Path, profiles: list[Profile], compute_capability: str) -> EngineReport:
    module = compiler(
        TENSORRT_RTX_MODULES,
        "TensorRT-RTX is not installed; pip install --no-deps "
        "tensorrt-rtx-cu12-libs==1.7.1.116 tensorrt-rtx-cu12-bindings==1.7.1.116",
    )
    capabilities = {
        f"{name[2:-1]}.{name[-1]}": value
        for name, value in module.ComputeCapability.__members__.items()
        if name.startswith("SM")
    }
    if compute_capability not in capabilities:
        raise BuildError(
            f"compute capability {compute_capability!r} is none that TensorRT-RTX {module.__version__} compiles for; "
            f"there are {', '.join(capabilities)}"
        )

    def configure(module: Any, configuration: Any) -> None:
        configuration.num_compute_capabilities = 1
        configuration.set_compute_capability(capabilities[compute_capability], 0)

    return compile_onnx(module, onnx, engine, profiles, compute_capability, configure)


def main(arguments: list[str] | None = None) -> int:
    """Compile the exports of a conversion; returns the exit code."""
    from build.engines import COMPILERS  # noqa: PLC0415 - whose compilers are this module's functions

    parser = argparse.ArgumentParser(prog="python -m build.rtx", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("exports", type=Path, help="folder of a conversion with --lm-format tensorrt-rtx")
    parser.add_argument("--output", type=Path, required=True, help="folder for the engines")
    parser.add_argument("--compute-capability", required=True, help="of the card, such as 8.9 (GeForce 40)")
    parser.add_argument("--streams", type=int, default=_TARGET.max_streams)
    options = parser.parse_args(arguments)
    target = replace(_TARGET, compute_capability=options.compute_capability, max_streams=options.streams)
    try:
        exports = Exports.read(options.exports)
        for compiler in ("codec", target.lm_engine):
            COMPILERS[compiler](exports, target, options.output)
    except (BuildError, OSError) as error:
        print(f"build: {error}", file=sys.stderr)
        return 1
    for name in (DECODER_ENGINE, ENCODER_ENGINE, LM_ENGINE):
        report = EngineReport.read(options.output / name)
        assert report is not None
        print(f"{options.output / name}: {report.bytes / 2**20:.0f} MiB in {report.seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
