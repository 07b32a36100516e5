"""How vLLM is started: our settings, and everything of it that we leave to its own defaults."""

from __future__ import annotations

import importlib.util
import locale
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch._dynamo

from runtime.engine.types import Limits
from runtime.engine.vllm.architecture import ARCHITECTURE, PLUGIN, SAMPLING
from runtime.formats.errors import ModelLoadingError

_PLUGIN_FOLDER = Path(__file__).with_name("plugin")


@dataclass(frozen=True)
class VllmOptions:
    """`dtype`: what it computes in, by torch's name; `kv_cache_bytes`: memory for keys and values, in each worker;
    `quantization`: by vLLM's name; None: as stored. `tensor_parallel`: workers that share the model. `own_process`:
    whether the engine's core leaves this process; workers of a group always do. `prefix_cache`: whether keys and
    values serve later prompts that begin alike. `record`: whether a GPU records steps as CUDA graphs.
    """

    dtype: str
    kv_cache_bytes: int
    quantization: str | None = None
    tensor_parallel: int = 1
    own_process: bool = False
    prefix_cache: bool = True
    record: bool = True


def start_vllm(weights: Path, limits: Limits, threads: int, options: VllmOptions) -> Any:
    """vLLM's `LLMEngine` over the checkpoint in `weights`, read and warm.

    Raises ModelLoadingError when vLLM is missing, or it does not take the checkpoint or the limits.
    """
    _find_packages()
    if importlib.util.find_spec("vllm") is None:
        raise ModelLoadingError("this engine needs vLLM, which this Python does not have; install it by: make vllm")
    _prepare_process(threads, options)
    try:
        from vllm import EngineArgs  # noqa: PLC0415
        from vllm.usage.usage_lib import UsageContext  # noqa: PLC0415
        from vllm.v1.engine.llm_engine import LLMEngine  # noqa: PLC0415
        from vllm.v1.executor import Executor  # noqa: PLC0415

        config = EngineArgs(**_arguments(weights, limits, options)).create_engine_config(UsageContext.ENGINE_CONTEXT)
        executor = Executor.get_class(config)
        return LLMEngine(config, executor, log_stats=False, multiprocess_mode=options.own_process)
    except Exception as error:
        raise ModelLoadingError(f"vLLM does not start on {weights}: {error}") from error


def _arguments(weights: Path, limits: Limits, options: VllmOptions) -> dict[str, Any]:
    several = options.tensor_parallel > 1
    return {
        "model": str(weights),
        "hf_overrides": {"architectures": [ARCHITECTURE]},
        "skip_tokenizer_init": True,
        "generation_config": "vllm",  # no sampling defaults from the checkpoint
        "dtype": options.dtype,
        "quantization": options.quantization,
        "max_model_len": limits.max_positions,
        "max_num_seqs": limits.max_streams,
        # Every stream that speaks takes one position of a step's budget, and prompts what is left.
        "max_num_batched_tokens": limits.max_streams + limits.prefill_tokens_per_step,
        "enable_chunked_prefill": True,
        "enable_prefix_caching": options.prefix_cache,
        "kv_cache_memory_bytes": options.kv_cache_bytes,
        # With the former, only a share that must be free: the launcher has compared what is needed with what there is.
        "gpu_memory_utilization": 0.01,
        "tensor_parallel_size": options.tensor_parallel,
        "distributed_executor_backend": "mp" if several else "uni",
        "logits_processors": [SAMPLING],
        "logprobs_mode": "processed_logits",
        "async_scheduling": False,  # sampling counts the ids that vLLM has kept: they must be there
        # On a GPU, steps of one position a stream are recorded as CUDA graphs; a CPU has none. The network is not
        # compiled: torch.compile would fix, at the first step, whether there is text in one.
        "compilation_config": {"mode": "NONE", "cudagraph_mode": "FULL_DECODE_ONLY" if options.record else "NONE"},
        "disable_log_stats": True,
    }


def _find_packages() -> None:
    """Put PYTHONPATH's folders, where vLLM's packages are, behind ours: Triton's stub does not read it."""
    folders = [*os.environ.get("PYTHONPATH", "").split(os.pathsep), str(_PLUGIN_FOLDER)]
    sys.path += [folder for folder in folders if folder and folder not in sys.path]


def _prepare_process(threads: int, options: VllmOptions) -> None:
    """What vLLM reads of its process, and hands on to those that it starts."""
    locale.setlocale(locale.LC_CTYPE, "C.UTF-8")  # inside Triton it is ASCII, in which vLLM cannot read its own files
    os.environ["VLLM_PLUGINS"] = PLUGIN
    os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"  # this process has threads
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    # A worker whose neighbour has died waits for it for ever: the streams need not wait for that worker.
    os.environ.setdefault("VLLM_WORKER_SHUTDOWN_TIMEOUT_SECONDS", "1")
    if not torch.cuda.is_available():  # it would compile one small function with the C++ compiler, half a minute long
        os.environ["TORCH_COMPILE_DISABLE"] = "1"
        torch._dynamo.config.disable = True
    if options.own_process or options.tensor_parallel > 1:  # workers take so many each; more would spin for the cores
        os.environ["OMP_NUM_THREADS"] = str(max(1, threads // options.tensor_parallel))
    # On a CPU it would otherwise start a worker process even for one worker.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = str(int(options.own_process))
    # On a CPU it would bind this process's threads, and so the whole server's, to cores.
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    os.environ.setdefault("VLLM_USE_V2_MODEL_RUNNER", "0")  # the second one takes no logits processors
