"""Compiles a TensorRT-LLM checkpoint into an engine, with `trtllm-build` of TensorRT-LLM 1.2.1.

It needs the GPU it builds for, and NVIDIA's Triton container with TensorRT-LLM 1.2.1, the last release that builds
TensorRT engines.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from build.container import TENSORRT_LLM
from build.errors import BuildError
from build.targets import FP8_CAPABILITY

NETWORK = Path(__file__).with_name("higgs_network.py")
NETWORK_CLASS = "HiggsAudioV2ForCausalLM"
ENGINE, CONFIG = "rank0.engine", "config.json"
TOKENS_PER_BLOCK = 32
_CONTAINER = f"build inside NVIDIA's Triton container with TensorRT-LLM {TENSORRT_LLM}"


@dataclass(frozen=True)
class EngineShapes:
    """What an engine is compiled for. Lengths in positions: text tokens, reference columns, generated columns.

    `max_seq_len` is prompt plus generated columns of one stream; `max_num_tokens` is what one step reads over all
    streams, so longer prompts are read in several steps; `max_prompt_embedding_table_size` is the frame-table rows of
    all streams together, an equal share for each.
    """

    max_batch_size: int
    max_input_len: int
    max_seq_len: int
    max_num_tokens: int
    max_prompt_embedding_table_size: int

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 1:
                raise BuildError(f"the engine's {name} is {value}; it must be at least 1")
        if self.max_input_len > self.max_seq_len:
            raise BuildError(f"a prompt of {self.max_input_len} positions does not fit into {self.max_seq_len}")
        if self.max_num_tokens < max(self.max_batch_size, TOKENS_PER_BLOCK):
            raise BuildError(
                f"max_num_tokens is {self.max_num_tokens}; a step reads one position of each of {self.max_batch_size} "
                f"streams and prompts in pieces of {TOKENS_PER_BLOCK}"
            )
        if self.max_prompt_embedding_table_size % self.max_batch_size:
            raise BuildError(
                f"{self.max_prompt_embedding_table_size} frame-table rows are not the same for each of "
                f"{self.max_batch_size} streams"
            )

    @property
    def rows_per_request(self) -> int:
        """Frame-table rows of one stream."""
        return self.max_prompt_embedding_table_size // self.max_batch_size


def build_engine(checkpoint: Path, engine: Path, shapes: EngineShapes, timing_cache: Path) -> None:
    """Compile `checkpoint` (convert's `lm/`) into the folder `engine`, which must not exist yet.

    The kernel times it measures outlive an interrupted build in `timing_cache`; with them the next one is faster.

    Raises BuildError, in one sentence: something is missing in the checkpoint or on the machine, the shapes do not fit
    the model, or trtllm-build fails.
    """
    config = _read_config(checkpoint)
    _check_shapes(config, shapes)
    tool = _find_tool()
    _check_gpu(config["quantization"]["quant_algo"])
    engine.mkdir(parents=True)
    print(f"compiling {checkpoint} with trtllm-build: minutes, and its own messages follow", flush=True)
    _run([tool, *options(checkpoint, engine, shapes, timing_cache)])
    _check_result(engine)


def options(checkpoint: Path, engine: Path, shapes: EngineShapes, timing_cache: Path) -> list[str]:
    """trtllm-build's arguments. Where a default of its own would do, it is written out all the same: the network
    definition relies on packed tokens, on the paged cache, and on the attention and mixture-of-experts plugins."""
    values: dict[str, object] = {
        "checkpoint_dir": checkpoint,
        "output_dir": engine,
        "model_cls_file": NETWORK,
        "model_cls_name": NETWORK_CLASS,
        **asdict(shapes),
        "max_beam_width": 1,
        "gpt_attention_plugin": "auto",
        "gemm_plugin": "auto",
        "moe_plugin": "auto",
        "remove_input_padding": "enable",
        "kv_cache_type": "paged",
        "tokens_per_block": TOKENS_PER_BLOCK,
        "context_fmha": "enable",
        # Chunked prompts and reuse of cached blocks need it; fp8 attention would need an fp8 cache.
        "use_paged_context_fmha": "enable",
        "use_fp8_context_fmha": "disable",
        "multiple_profiles": "disable",
        "input_timing_cache": timing_cache,
        "output_timing_cache": timing_cache,
        "workers": 1,
        "log_level": "info",
    }
    return [part for name, value in values.items() for part in (f"--{name}", str(value))]


def _read_config(checkpoint: Path) -> dict[str, Any]:
    for name in (CONFIG, "rank0.safetensors"):
        if not (checkpoint / name).is_file():
            raise BuildError(f"{checkpoint / name} is missing; convert with --lm-format tensorrt-llm first")
    try:
        config: dict[str, Any] = json.loads((checkpoint / CONFIG).read_text())
        architecture, dtype, _ = config["architecture"], config["dtype"], config["quantization"]["quant_algo"]
    except (ValueError, KeyError, TypeError) as error:
        raise BuildError(f"{checkpoint / CONFIG} is not a TensorRT-LLM checkpoint's: {error}") from error
    if architecture != NETWORK_CLASS:
        raise BuildError(f"{checkpoint} is a {architecture}; the network definition is {NETWORK_CLASS}'s")
    if dtype == "float32":
        raise BuildError(
            f"{checkpoint} is float32, in which NVIDIA's attention kernels do not run; convert with --precision bf16, "
            "fp8, int8 or int4"
        )
    return config


def _check_shapes(config: dict[str, Any], shapes: EngineShapes) -> None:
    positions, ids = config["max_position_embeddings"], config["vocab_size"]
    if shapes.max_seq_len > positions:
        raise BuildError(
            f"streams of {shapes.max_seq_len} positions are longer than the checkpoint's rotary table of {positions}; "
            f"convert with --max-positions {shapes.max_seq_len}"
        )
    if shapes.rows_per_request >= ids:  # the last id below vocab_size is the one that ends a stream
        raise BuildError(
            f"{shapes.rows_per_request} frame-table rows a stream need more than the {ids - 1} ids there are"
        )


def _find_tool() -> str:
    tool = shutil.which("trtllm-build")
    if tool is None:
        raise BuildError(f"trtllm-build is not on the PATH; {_CONTAINER}")
    try:
        installed = version("tensorrt-llm")
    except PackageNotFoundError:
        pass  # it belongs to another Python; what it writes is checked afterwards
    else:
        _check_version(installed)
    return tool


def _check_gpu(quant_algo: str | None) -> None:
    """Check that a GPU exists and supports the arithmetic that the precision needs."""
    probe = shutil.which("nvidia-smi")
    # nvidia-smi lists all GPUs whatever this variable says; trtllm-build takes the first GPU it allows.
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0]
    query = [str(probe), *(["-i", chosen] if chosen else []), "--query-gpu=compute_cap", "--format=csv,noheader"]
    asked = subprocess.run(query, check=False, capture_output=True, text=True) if probe else None
    if asked is None or asked.returncode:
        raise BuildError(
            "no NVIDIA GPU is visible (nvidia-smi fails); an engine is compiled on the kind of GPU that will run it"
        )
    capability = asked.stdout.split()[0]
    if quant_algo == "FP8" and float(capability) < float(FP8_CAPABILITY):
        raise BuildError(
            f"fp8 needs a GPU of compute capability {FP8_CAPABILITY} or more, and this one has "
            f"{capability}; convert with --precision bf16 or int8"
        )


def _run(command: list[str]) -> None:
    code = subprocess.run(command, check=False).returncode
    if code:
        raise BuildError(f"trtllm-build ended with code {code}; its messages are above")


def _check_version(found: object) -> None:
    if found != TENSORRT_LLM:
        raise BuildError(f"TensorRT-LLM is {found}, and the engine needs {TENSORRT_LLM}; {_CONTAINER}")


def _check_result(engine: Path) -> None:
    if not (engine / ENGINE).is_file():
        raise BuildError(f"trtllm-build ended without an error and without {ENGINE}")
    _check_version(json.loads((engine / CONFIG).read_text()).get("version"))
