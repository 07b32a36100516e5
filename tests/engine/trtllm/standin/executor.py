"""An executor that keeps the contract the frame table rests on, and nothing of TensorRT-LLM's inside.

What it shares with the real one, each point from a source named in docs/frame-table.md: prompt tables are held by
view and copied into one zeroed buffer before every step, for requests in either phase; prompts are read in pieces and
join requests that are generating; the batched callback runs once a step between network and sampling, over the
requests that get a token; the largest logit's id is appended and fed back; a request ends by the end id, by length or
by cancellation; keys and values are reused by token id and extra id; an exception in the callback fails every
request.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import torch

from tests.engine.trtllm.standin.network import KeysAndValues, Network

BLOCK = 16  # positions a block of keys and values holds
Key = tuple[tuple[int, int], ...]


@dataclass(eq=False)
class _Running:
    """A request inside."""

    id: int
    request: Any
    tokens: list[int]
    extra: list[int]
    cache: KeysAndValues
    read: int = 0  # tokens in the cache
    generated: int = 0
    reused_blocks: int = 0
    reason: str | None = None

    @property
    def prompt_length(self) -> int:
        return len(self.tokens) - self.generated


@dataclass
class Executor:
    """Runs on a thread of its own from the first request to `shutdown`.

    `before_step`: called with the step's number before each step, for tests that want to act between two. `steps`: how
    many there were. `reused_positions`: prompt positions that did not have to be read. `refuse`: client ids whose
    request fails inside the executor. `sit_out`: called with the generating client ids, returns those that do not run
    this time.
    """

    bindings: SimpleNamespace
    network: Network
    model_path: str
    model_type: Any
    executor_config: Any
    before_step: Callable[[int], None] = lambda step: None
    sit_out: Callable[[list[int]], set[int]] = lambda keys: set()
    refuse: dict[int, str] = field(default_factory=dict)
    steps: int = 0
    reused_positions: int = 0
    history: list[tuple[int, ...]] = field(default_factory=list)  # client ids that got a token, by step
    ended: Counter[str] = field(default_factory=Counter)  # requests by the way they ended

    def __post_init__(self) -> None:
        config = self.executor_config
        assert config.batching_type is self.bindings.BatchingType.INFLIGHT
        assert config.scheduler_config.capacity_scheduler_policy is (
            self.bindings.CapacitySchedulerPolicy.GUARANTEED_NO_EVICT
        )
        assert config.enable_chunked_context and not config.enable_trt_overlap and not config.mm_embedding_offloading
        self._callback = config.logits_post_processor_config.processor_batched
        self._ids = itertools.count(1)
        self._new: list[_Running] = []
        self._active: list[_Running] = []
        self._cancelled: set[int] = set()
        self._responses: list[Any] = []
        self._blocks: dict[Key, KeysAndValues] = {}
        self._change = threading.Condition()
        self._stopping = False
        self.dead: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="executor", daemon=True)
        self._thread.start()

    # What the bindings offer.

    def enqueue_request(self, request: Any) -> int:
        table, extra = request.prompt_tuning_config.embedding_table, request.prompt_tuning_config.input_token_extra_ids
        assert 0 <= request.end_id < self.network.table_ids, "the end id must be one of the vocabulary's"
        assert table.dim() == 2 and table.is_contiguous()
        assert not self.executor_config.kv_cache_config.enable_block_reuse or len(extra) == len(request.input_token_ids)
        assert request.logits_post_processor_name == self.bindings.Request.BATCHED_POST_PROCESSOR_NAME
        assert request.sampling_config.top_k == 1
        with self._change:
            running = _Running(
                next(self._ids),
                request,
                list(request.input_token_ids),
                list(extra or [0] * len(request.input_token_ids)),
                self.network.new_cache(),
            )
            self._new.append(running)
            self._change.notify_all()
            return running.id

    def await_responses(self, timeout: timedelta) -> list[Any]:
        with self._change:
            if self.dead:
                raise RuntimeError(str(self.dead))
            if not self._responses:
                self._change.wait(timeout.total_seconds())
            responses, self._responses = self._responses, []
            return responses

    def cancel_request(self, id: int) -> None:
        with self._change:
            self._cancelled.add(id)
            self._change.notify_all()

    def shutdown(self) -> None:
        with self._change:
            self._stopping = True
            self._change.notify_all()
        self._thread.join()

    def can_enqueue_requests(self) -> bool:
        return not self._stopping

    # The loop.

    def _run(self) -> None:
        while True:
            with self._change:
                while not (self._new or self._active or self._stopping):
                    self._change.wait()
                if self._stopping:
                    return
                room = self.executor_config.max_batch_size - len(self._active)
                joining, self._new = self._new[:room], self._new[room:]
            for running in joining:
                self._reuse(running)
            self._active += joining
            self.before_step(self.steps)
            try:
                self._step()
            except Exception as error:
                for running in self._active:
                    self._fail(running, f"Encountered an error in forwardAsync function: {error}")
            self._leave()

    @torch.inference_mode()
    def _step(self) -> None:
        generating = [running for running in self._active if running.read >= running.prompt_length]
        resting = self.sit_out([running.request.client_id for running in generating])
        generating = [running for running in generating if running.request.client_id not in resting]
        budget = self.executor_config.max_num_tokens - len(generating)
        pieces: list[tuple[_Running, int]] = []
        for running in self._active:
            remaining = running.prompt_length - running.read
            if remaining > 0 and budget > 0:
                count = remaining if remaining <= budget else budget // BLOCK * BLOCK
                budget -= count
                pieces += [(running, count)] if count else []
        scheduled = [*pieces, *((running, 1) for running in generating)]  # contexts first, as the real one
        if not scheduled:
            return
        table, stride = self._fill([running for running, _ in scheduled])
        device = self.network.device
        logits = torch.full((len(scheduled), 1, self.network.table_ids), float("nan"), device=device)
        asked: list[tuple[int, _Running]] = []
        parts = [
            (
                torch.tensor(running.tokens[running.read :][:count], device=device),
                table[index * stride :][:stride],
                running.cache,
            )
            for index, (running, count) in enumerate(scheduled)
        ]
        computed = self.network.step(parts)
        for index, ((running, count), own) in enumerate(zip(scheduled, computed, strict=True)):
            running.read += count
            if running.read == len(running.tokens):
                logits[index, 0] = own
                asked.append((index, running))
        self.steps += 1
        if not asked:
            return
        self.history.append(tuple(running.request.client_id for _, running in asked))
        self._callback(
            [running.id for _, running in asked],
            [logits[index : index + 1] for index, _ in asked],
            [[list(running.tokens)] for _, running in asked],
            torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0,
            [running.request.client_id for _, running in asked],
        )
        for index, running in asked:
            self._append(running, int(logits[index, 0].argmax()))

    def _fill(self, scheduled: list[_Running]) -> tuple[torch.Tensor, int]:
        """Copy every scheduled request's table, as it is now, into one buffer; returns it and each one's share."""
        stride = max(len(r.request.prompt_tuning_config.embedding_table) for r in scheduled)
        buffer = torch.zeros(
            len(scheduled) * stride, self.network.hidden_size, dtype=self.network.dtype, device=self.network.device
        )
        for index, running in enumerate(scheduled):
            own = running.request.prompt_tuning_config.embedding_table
            assert own.dtype == buffer.dtype
            buffer[index * stride :][: len(own)] = own
        return buffer, stride

    def _append(self, running: _Running, token: int) -> None:
        if not running.generated:
            self._store(running)
        running.tokens.append(token)
        running.extra.append(0)  # a generated token's extra id is 0
        running.generated += 1
        if token == running.request.end_id:
            running.reason = "END_ID"
        elif running.generated == running.request.max_tokens:
            running.reason = "LENGTH"
        if running.reason:
            self._store(running)

    def _leave(self) -> None:
        with self._change:
            for running in [*self._active, *self._new]:
                client = running.request.client_id
                if client in self.refuse:
                    self._fail(running, self.refuse.pop(client))
                elif running.id in self._cancelled and running.reason is None:
                    running.reason = "CANCELLED"
                if running.reason and running.reason != "ERROR":
                    result = self.bindings.Result()
                    result.is_final = True
                    if running.request.output_config.return_perf_metrics:
                        result.request_perf_metrics = self.bindings.RequestPerfMetrics()
                        result.request_perf_metrics.kv_cache_metrics = self.bindings.KvCacheMetrics()
                        result.request_perf_metrics.kv_cache_metrics.num_reused_blocks = running.reused_blocks
                    result.finish_reasons = [self.bindings.FinishReason[running.reason]]
                    self._respond(running, result=result)
            self._active = [running for running in self._active if not running.reason]
            self._new = [running for running in self._new if not running.reason]

    def _fail(self, running: _Running, message: str) -> None:
        running.reason = "ERROR"
        self._respond(running, error=message)

    def _respond(self, running: _Running, result: Any = None, error: str | None = None) -> None:
        with self._change:
            self.ended[str(running.reason)] += 1
            response = SimpleNamespace(
                request_id=running.id,
                client_id=running.request.client_id,
                has_error=lambda: error is not None,
                error_msg=error,
                result=result,
            )
            self._responses.append(response)
            self._change.notify_all()

    # Reuse of keys and values, by token id and extra id.

    def _store(self, running: _Running) -> None:
        if self.executor_config.kv_cache_config.enable_block_reuse:
            pairs = tuple(zip(running.tokens, running.extra, strict=True))[: running.read]
            for end in range(BLOCK, len(pairs) + 1, BLOCK):
                if pairs[:end] not in self._blocks:
                    self._blocks[pairs[:end]] = running.cache.first(end)

    def _reuse(self, running: _Running) -> None:
        pairs = tuple(zip(running.tokens, running.extra, strict=True))
        for end in range((len(pairs) - 1) // BLOCK * BLOCK, 0, -BLOCK):
            if pairs[:end] in self._blocks:
                running.cache = self._blocks[pairs[:end]].first(end)
                running.read, running.reused_blocks = end, end // BLOCK
                self.reused_positions += end
                return
