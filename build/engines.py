"""The compiled networks of a target: the steps that compile them, and what each step depends on.

Every compiler is imported inside its step: a compiler need not be installed for a target that does not use it.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from build.engine_kinds import COMPILER_PACKAGES, EngineKind
from build.errors import BuildError
from build.exports import Exports
from build.fingerprint import fingerprint
from build.interpreter import Interpreter
from build.memory import table_rows
from build.steps import Step
from build.targets import Target
from runtime.formats.options import LONGEST_CHUNK_SECONDS
from serve.gpu import Gpu

TIMING_CACHE = "trtllm-timing.cache"  # beside the engines: it outlives a build that is interrupted
_HERE = Path(__file__).resolve().parent


def steps(
    exports: Exports, export_mark: str, target: Target, gpu: Gpu | None, python: Interpreter, directory: Path
) -> list[Step]:
    """The compile steps, in order; none for a target that runs the exports as they are.

    `lm/` holds the language model's engine, `codec/` the codec's networks. `export_mark` is the exports' fingerprint,
    in which precision and positions count; the GPU counts too, as engines are tuned to the one they are built on.
    `python` has the compilers.
    """
    planned: list[tuple[str, str, str, EngineKind, tuple[float, ...]]] = []  # title, folder, compiler, and for what
    if target.lm.compiles:
        size = f"{target.max_streams} streams of {target.max_positions} positions"
        made_for = (target.max_streams, target.prefill_tokens_per_step, target.prompt_audio_seconds)
        planned.append((f"language model with {target.lm_engine}, {size}", "lm", target.lm_engine, target.lm, made_for))
    if target.codec.compiles:
        size = f"{target.max_decode_batch} windows a call"
        clips = (target.max_decode_batch, target.reference_max_seconds)
        planned.append((f"codec with {target.codec_engine}, {size}", "codec", "codec", target.codec, clips))
    tools = (python.versions(COMPILER_PACKAGES), gpu and (gpu.name, gpu.compute_capability)) if planned else ()

    def step(number: int, title: str, name: str, compiler: str, kind: EngineKind, made_for: object) -> Step:
        def make(folder: Path) -> None:
            if python.is_this:
                COMPILERS[compiler](exports, target, folder)
                return
            order = {"compiler": compiler, "exports": str(exports.directory.absolute())}
            python.run("build.compile", order | {"folder": str(folder.absolute()), "target": asdict(target)})

        mark = fingerprint((export_mark, kind, target.compute_capability, made_for, tools, *map(_source, kind.sources)))
        return Step(f"step {number} of {len(planned)}: {title}", directory / name, mark, make)

    return [step(number, *plan) for number, plan in enumerate(planned, 1)]


def longest_chunk(exports: Exports) -> int:
    """Frames of the longest chunk of audio that a request may ask for."""
    return round(LONGEST_CHUNK_SECONDS * exports.codec["sample_rate"] / exports.codec["hop_length"])


def longest_window(exports: Exports) -> int:
    """Frames of the longest window that the codec's decoder must take, context on each side included.

    A part's last window waits for no context, and so has up to that many new frames more than the longest chunk.
    """
    return longest_chunk(exports) + 3 * int(exports.codec["context_frames"])


def longest_clip(exports: Exports, target: Target) -> int:
    """Frames of the longest reference clip, which is cut to whole frames."""
    codec = exports.codec
    return int(target.reference_max_seconds * codec["sample_rate"] // codec["hop_length"])


def _tensorrt_llm(exports: Exports, target: Target, folder: Path) -> None:
    from build.trtllm import EngineShapes, build_engine  # noqa: PLC0415

    codec = exports.codec
    rows = table_rows(target, codec["num_codebooks"], codec["sample_rate"] / codec["hop_length"])
    shapes = EngineShapes(
        max_batch_size=target.max_streams,
        max_input_len=target.max_positions,
        max_seq_len=target.max_positions,
        max_num_tokens=target.max_streams + target.prefill_tokens_per_step,
        max_prompt_embedding_table_size=target.max_streams * rows,
    )
    build_engine(exports.directory / "lm", folder / "engine", shapes, folder.parent / TIMING_CACHE)


def _tensorrt_rtx(exports: Exports, target: Target, folder: Path) -> None:
    from build.rtx import LM_ENGINE, LmShapes, compile_lm  # noqa: PLC0415

    shapes = LmShapes(target.max_streams, target.prefill_tokens_per_step, target.max_positions)
    compile_lm(exports.directory, folder / LM_ENGINE, shapes, target.compute_capability)


def _codec(exports: Exports, target: Target, folder: Path) -> None:
    from build.rtx import CodecShapes, compile_codec  # noqa: PLC0415
    from build.tensorrt_plan import compile_plan  # noqa: PLC0415

    windows, clips = longest_window(exports), longest_clip(exports, target)
    frames = round(exports.codec["sample_rate"] / exports.codec["hop_length"])
    # Kernels are tuned for a chunk of a fifth of a second with its context, and for a clip of ten seconds.
    shortest_window = 2 * int(exports.codec["context_frames"]) + 1
    typical_window, typical_clip = shortest_window - 1 + frames // 5, min(clips, 10 * frames)
    compile_network = compile_plan if target.codec.in_triton else compile_codec
    for network, shapes in (
        ("decoder", CodecShapes(target.max_decode_batch, shortest_window, typical_window, windows)),
        ("encoder", CodecShapes(1, 1, typical_clip, clips)),
    ):
        onnx, compiled = exports.directory / "codec" / f"{network}.onnx", f"{network}{target.codec.codec_suffix}"
        compile_network(onnx, folder / compiled, shapes, target.compute_capability)


COMPILERS = {"tensorrt-llm": _tensorrt_llm, "tensorrt-rtx": _tensorrt_rtx, "codec": _codec}


def _source(name: str) -> str:
    file = _HERE / name
    if not file.is_file():
        raise BuildError(f"{file} is missing from this checkout")
    return file.read_text()
