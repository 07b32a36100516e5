"""Configures the TensorRT-LLM executor, and builds its requests.

Every name here is checked by the tests against the bindings of `tensorrt_llm.bindings.executor`
(tests/engine/trtllm/standin/bindings.json has them, with repository, commit and path).
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from runtime.engine.trtllm.frame_table import PromptTokens, end_id, table_ids
from runtime.engine.types import GENERATED_ROWS, CodebookLayout, Limits
from runtime.formats.errors import ModelLoadingError

BINDINGS = "tensorrt_llm.bindings.executor"
ENGINE_CONFIG = "config.json"
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_GRAPH_POSITIONS = 256  # the executor captures a graph for each batch size and every this many positions of the longest
_MAX_GRAPHS = 128  # kept at a time; the least recently used is dropped first, since each takes device memory


@dataclass(frozen=True)
class ExecutorOptions:
    """Choices of the deployment.

    `kv_memory_fraction`: the largest share of the GPU memory left after loading weights and tables that keys and values
    may take; they never take more than all streams at their longest need. `reuse_blocks`: keep the keys and values of
    prompts, so that a voice's clip is read once.
    `cuda_graphs`: launch a step's network, and what follows it, as one graph each; docs/frame-table.md has the rule.
    `device`: where the executor's tensors are; it takes the process's first GPU.
    """

    kv_memory_fraction: float = 0.9
    reuse_blocks: bool = True
    cuda_graphs: bool = True
    device: str = "cuda"

    def __post_init__(self) -> None:
        if not 0 < self.kv_memory_fraction < 1:
            raise ModelLoadingError(f"kv_memory_fraction is {self.kv_memory_fraction}; it must lie between 0 and 1")


@dataclass(frozen=True)
class BuiltEngine:
    """What `trtllm-build` recorded about an engine, checked against what the engine must do.

    `rows`: rows of one request's frame table; `dtype`: of the weights, and so of the table. `tokens_per_block`:
    positions of a block of keys and values, and the unit prompts are read in.
    """

    dtype: torch.dtype
    max_batch_size: int
    max_input_len: int
    max_seq_len: int
    max_num_tokens: int
    tokens_per_block: int
    rows: int

    @property
    def reference_rows(self) -> int:
        """Rows that one request's clips may take."""
        return self.rows - GENERATED_ROWS

    @classmethod
    def read(cls, directory: Path, layout: CodebookLayout, limits: Limits) -> BuiltEngine:
        """Read an engine's `config.json`.

        Raises ModelLoadingError when it is missing, unreadable, or of an engine that cannot serve these limits.
        """
        path = directory / ENGINE_CONFIG
        try:
            config = json.loads(path.read_text())
            model, build = config["pretrained_config"], config["build_config"]
            engine = cls(
                dtype=_DTYPES[model["dtype"]],
                max_batch_size=build["max_batch_size"],
                max_input_len=build["max_input_len"],
                max_seq_len=build["max_seq_len"],
                max_num_tokens=build["max_num_tokens"],
                tokens_per_block=build["plugin_config"]["tokens_per_block"],
                rows=build["max_prompt_embedding_table_size"] // build["max_batch_size"],
            )
            vocabulary, tensor_parallel = model["vocab_size"], model.get("mapping", {}).get("tp_size", 1)
            paged_context = build["plugin_config"]["use_paged_context_fmha"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelLoadingError(f"{path} does not describe a TensorRT-LLM engine: {error!r}") from error

        def require(condition: bool, sentence: str) -> None:
            if not condition:
                raise ModelLoadingError(f"the engine in {directory} {sentence}")

        ids = table_ids(layout)
        require(vocabulary == ids, f"has {vocabulary} ids; the frame table needs {ids}, one for each code")
        require(tensor_parallel == 1, f"is cut over {tensor_parallel} GPUs; a frame table works on one")
        require(bool(paged_context), "was built without use_paged_context_fmha, which reading prompts in pieces needs")
        require(
            limits.max_streams <= engine.max_batch_size,
            f"serves {engine.max_batch_size} streams at once, {limits.max_streams} are asked for",
        )
        require(
            limits.max_positions <= engine.max_seq_len,
            f"has room for {engine.max_seq_len} positions, {limits.max_positions} are asked for",
        )
        require(
            GENERATED_ROWS < engine.rows < ids,
            f"has {engine.rows} prompt table rows a stream; between {GENERATED_ROWS + 1} and {ids - 1} are needed",
        )
        return engine


def load_bindings() -> Any:
    """The executor's Python bindings. Raises ModelLoadingError where TensorRT-LLM is not installed."""
    try:
        return importlib.import_module(BINDINGS)
    except ImportError as error:
        raise ModelLoadingError(
            f"this bundle needs TensorRT-LLM 1.2.1, which cannot be imported here ({error}); "
            "NVIDIA's trtllm container of Triton has it"
        ) from error


def executor_config(
    bindings: Any, engine: BuiltEngine, limits: Limits, options: ExecutorOptions, callback: Callable[..., None]
) -> Any:
    """A configuration for in-flight batching that never evicts, prompts read in pieces, and our callback every step."""
    block = engine.tokens_per_block
    piece = max(limits.prefill_tokens_per_step, block)
    all_positions = limits.max_streams * -(-limits.max_positions // block) * block
    knobs = bindings.ExtendedRuntimePerfKnobConfig()
    knobs.cuda_graph_mode = options.cuda_graphs
    if options.cuda_graphs:
        lengths = -(-limits.max_positions // _GRAPH_POSITIONS)
        knobs.cuda_graph_cache_size = min(_MAX_GRAPHS, limits.max_streams * lengths)
    return bindings.ExecutorConfig(
        max_beam_width=1,
        batching_type=bindings.BatchingType.INFLIGHT,
        max_batch_size=limits.max_streams,
        # One token per stream, the rest for prompts: this bounds how long a long prompt delays the other streams.
        max_num_tokens=min(engine.max_num_tokens, limits.max_streams + piece),
        enable_chunked_context=True,
        scheduler_config=bindings.SchedulerConfig(
            # An evicted stream would be read again from its ids, but its generated rows are long overwritten.
            capacity_scheduler_policy=bindings.CapacitySchedulerPolicy.GUARANTEED_NO_EVICT,
            context_chunking_policy=bindings.ContextChunkingPolicy.FIRST_COME_FIRST_SERVED,
        ),
        kv_cache_config=bindings.KvCacheConfig(
            enable_block_reuse=options.reuse_blocks,
            # The smaller of the two applies: what is not needed is left to the codec, which shares the GPU.
            max_tokens=all_positions,
            free_gpu_memory_fraction=options.kv_memory_fraction,
        ),
        logits_post_processor_config=bindings.LogitsPostProcessorConfig(processor_batched=callback),
        extended_runtime_perf_knob_config=knobs,
        # The next step reads what this step's callback wrote, so it cannot be prepared earlier.
        enable_trt_overlap=False,
        # Offloading would copy the table once, when the prompt is read.
        mm_embedding_offloading=False,
        iter_stats_max_iterations=0,
        request_stats_max_iterations=0,
    )


def executor_request(
    bindings: Any, tokens: PromptTokens, table: torch.Tensor, max_columns: int, layout: CodebookLayout, key: int
) -> Any:
    """One stream as a request: its prompt, its frame table, and the most columns to generate.

    Not streaming: one response at the end, since the codes take another way; it also says what could be reused.
    """
    return bindings.Request(
        input_token_ids=tokens.ids,
        max_tokens=max_columns,
        streaming=False,
        sampling_config=bindings.SamplingConfig(top_k=1),
        output_config=bindings.OutputConfig(exclude_input_from_output=True, return_perf_metrics=True),
        end_id=end_id(layout),
        prompt_tuning_config=bindings.PromptTuningConfig(embedding_table=table, input_token_extra_ids=tokens.extra_ids),
        logits_post_processor_name=bindings.Request.BATCHED_POST_PROCESSOR_NAME,
        client_id=key,
    )
