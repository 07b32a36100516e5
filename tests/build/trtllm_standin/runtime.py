"""One engine step at a time: the inputs TensorRT-LLM's runtime gives a network, for requests that come and go.

Follows batch_manager/runtimeBuffers.cpp (`setFromInputs`) and promptTuningBuffers.cpp (`fill`): requests in context
come first, then those in generation; `last_token_ids` is the running total of what each is fed; each request's table
is copied, every step, to the rows of its place in the batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from tests.build.trtllm_standin.attention import CONTEXT, GENERATION
from tests.build.trtllm_standin.network import Network, PluginConfig, net_guard

BLOCK = 4  # tokens a block: small, so that a few positions cross several
NEVER_READ = float("nan")  # what rows, cache blocks and padding hold that nothing may read


@dataclass(eq=False)
class Request:
    """`ids`: the prompt's, then one more for each column; `table` [rows, hidden], rewritten by the caller at will."""

    ids: list[int]
    table: torch.Tensor
    prompt_length: int = field(init=False)
    done: int = 0  # positions in the cache
    blocks: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.prompt_length = len(self.ids)

    @property
    def in_context(self) -> bool:
        return self.done < self.prompt_length


class Runtime:
    """Runs a network definition over packed batches of requests with a paged KV cache."""

    def __init__(self, model: Any, max_batch_size: int, rows_per_request: int, max_seq_len: int) -> None:
        self._model, self._batch, self._rows, self._length = model, max_batch_size, rows_per_request, max_seq_len
        config = model.config
        self._dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[config.dtype]
        blocks = max_batch_size * -(-max_seq_len // BLOCK)
        shape = (blocks, config.num_hidden_layers, 2, config.num_key_value_heads, BLOCK, config.head_size)
        self._pool = torch.full(shape, NEVER_READ, dtype=self._dtype)
        # Handed out from both ends in turn, so that no request's blocks lie in order.
        self._free = [block for pair in zip(range(blocks), reversed(range(blocks)), strict=True) for block in pair]
        self._free = list(dict.fromkeys(self._free))
        self.declared: list[str] = []
        self.provided: list[str] = []

    def step(self, requests: list[Request], chunk: int | None = None) -> torch.Tensor:
        """Feed every request: one in context its prompt, at most `chunk` of it; one in generation its last id.

        Returns float32 [requests, vocab_size] in the order of `requests`, for the last token each was fed.
        """
        assert len(requests) <= self._batch
        batch = sorted(requests, key=lambda request: not request.in_context)
        fed = []
        for request in batch:
            end = request.prompt_length if request.in_context else len(request.ids)
            fed.append(request.ids[request.done : end if chunk is None else min(end, request.done + chunk)])
            request.done += len(fed[-1])
            while len(request.blocks) * BLOCK < request.done:
                request.blocks.append(self._free.pop())
        network = Network(self._feed(batch, fed), PluginConfig(tokens_per_block=BLOCK))
        with net_guard(network), torch.no_grad():
            inputs = self._model.prepare_inputs(
                max_batch_size=self._batch,
                max_input_len=self._length,
                max_seq_len=self._length,
                use_cache=True,
                max_beam_width=1,
                max_num_tokens=self._batch * self._length,
                opt_num_tokens=None,
                prompt_embedding_table_size=self._batch * self._rows,
                max_draft_len=0,
                speculative_decoding_draft_tokens_external=False,
                gather_context_logits=False,
                lora_target_modules=None,
            )
            self._model(**inputs)
        self.declared, self.provided = network.declared, list(network.feed)
        logits = network.outputs["logits"]
        return torch.stack([logits[batch.index(request)] for request in requests])

    def finish(self, request: Request) -> None:
        """Give its blocks back, with what is in them: the next owner must not read it."""
        self._free += request.blocks
        request.blocks = []

    def _feed(self, batch: list[Request], fed: list[list[int]]) -> dict[str, torch.Tensor]:
        def ints(values: Any) -> torch.Tensor:
            return torch.tensor(values, dtype=torch.int32)

        kinds = [CONTEXT if request.done <= request.prompt_length else GENERATION for request in batch]
        context = [
            len(ids) if kind == CONTEXT else r.prompt_length for ids, kind, r in zip(fed, kinds, batch, strict=True)
        ]
        lengths = [request.done for request in batch]
        past = [n if kind == CONTEXT else n - 1 for n, kind in zip(lengths, kinds, strict=True)]
        most = max(len(request.blocks) for request in batch)
        offsets = ints([[[r.blocks + [-1] * (most - len(r.blocks))] * 2 for r in batch]])
        pointers = torch.zeros(1, 2, dtype=torch.int64)
        pointers.pool = self._pool  # type: ignore[attr-defined]
        layers = self._model.config.num_hidden_layers
        return {
            "input_ids": ints([id for ids in fed for id in ids]),
            "position_ids": ints(
                [n - len(ids) + i for n, ids in zip(lengths, fed, strict=True) for i in range(len(ids))]
            ),
            "last_token_ids": ints([len(ids) for ids in fed]).cumsum(0, dtype=torch.int32),
            "prompt_embedding_table": self._tables(batch),
            "tasks": ints([place for place, ids in enumerate(fed) for _ in ids]),
            "prompt_vocab_size": ints([self._rows]),
            "host_request_types": ints(kinds),
            "context_lengths": ints(context),
            "host_context_lengths": ints(context),
            "sequence_length": ints(lengths),
            "host_past_key_value_lengths": ints(past),
            "host_max_attention_window_sizes": ints([self._length] * layers),
            "host_sink_token_length": ints([0]),
            "kv_cache_block_offsets": offsets,
            "host_kv_cache_block_offsets": offsets,
            "host_kv_cache_pool_pointers": pointers,
            "host_kv_cache_pool_mapping": ints([[0, layer] for layer in range(layers)]),
            "cache_indirection": torch.zeros(len(batch), 1, self._length, dtype=torch.int32),
            "host_runtime_perf_knobs": torch.full((16,), -1, dtype=torch.int64),
            "host_context_progress": torch.zeros(1, dtype=torch.int64),
        }

    def _tables(self, batch: list[Request]) -> torch.Tensor:
        """TensorRT-LLM fills what no request has with zeros; here with NaN, so that reading it shows."""
        hidden = self._model.config.hidden_size
        tables = torch.full((self._batch * self._rows, hidden), NEVER_READ, dtype=self._dtype)
        for place, request in enumerate(batch):
            assert len(request.table) <= self._rows, "Prompt vocab size is larger than max prompt vocab size"
            tables[place * self._rows :][: len(request.table)] = request.table
        return tables
