"""The callback that the TensorRT-LLM executor calls once per step, between the network and its own sampling, for all
requests together.

The callback works on the executor's stream and does not wait for it. `ColumnStep` chooses the next column of every
stream, writes its embedding into the stream's frame table, and overwrites the logits so that the executor's top-1
sampling takes the id of that row. Meanwhile the codes are copied to the host. Nothing here reads a value back from the
device; the host already knows what it needs (which streams run, in which slot).

An exception that left this call would fail every request of the executor. None does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from runtime.engine.trtllm.code_transfer import CodeTransfer, Transfer, on_stream
from runtime.engine.trtllm.column_step import FORCED, ColumnStep
from runtime.engine.types import SamplingParameters

logger = logging.getLogger(__name__)


@dataclass(eq=False, kw_only=True)
class SpokenStream:
    """What the callback knows about a stream.

    `key`: the executor's client id. `tail`: int64 [columns, num_codebooks] on the device, what repetition-aware
    sampling counts as already said, or None. `over`: no more columns are wanted, so its request gets the end id; set by
    the thread that collects codes, which is a step or two behind. `slot`: None until its first step.
    """

    key: int
    sampling: SamplingParameters
    tail: torch.Tensor | None
    place: int
    reference_rows: int
    over: bool = False
    slot: int | None = None


StreamT = TypeVar("StreamT", bound=SpokenStream)


class StepCallback(Generic[StreamT]):
    """The executor's batched logits post-processor.

    Args:
        streams: the streams in the executor by key; read here, written by the engine.
        column_step: with one slot more than there can be streams, so that streams can swap slots.
        end_id: the id that ends a request.
        on_codes: called each step with the streams that got codes, in the order of their rows, and the transfer.
        on_error: called with the streams that fail and the error.
    """

    def __init__(
        self,
        streams: Mapping[int, StreamT],
        column_step: ColumnStep,
        end_id: int,
        transfer: CodeTransfer,
        device: torch.device,
        on_codes: Callable[[list[StreamT], Transfer], None],
        on_error: Callable[[list[StreamT], Exception], None],
    ) -> None:
        self._streams, self._device = streams, device
        self._column_step, self._end_id, self._transfer = column_step, end_id, transfer
        self._on_codes, self._on_error = on_codes, on_error
        self._slots: list[StreamT | None] = [None] * (len(column_step.codes) - 1)

    def __call__(
        self,
        request_ids: Sequence[int],
        logits: Sequence[torch.Tensor],
        tokens: Sequence[Sequence[Sequence[int]]],
        cuda_stream: int,
        client_ids: Sequence[int | None],
    ) -> None:
        """Run one step. logits: for each request a view [1, 1, vocabulary] of the executor's logits, to overwrite."""
        try:
            with torch.inference_mode(), on_stream(self._device, cuda_stream):
                self._step(dict(zip(client_ids, logits, strict=True)))
        except Exception as error:  # ours or the device's: the streams of this step cannot go on, others can
            logger.exception("a step's callback failed")
            self._give_up(cuda_stream, client_ids, logits, error)

    def _step(self, logits: dict[int | None, torch.Tensor]) -> None:
        self._forget_the_gone()
        speaking: dict[int, StreamT] = {}
        for key, own in logits.items():
            stream = None if key is None else self._streams.get(key)
            if stream is None or stream.over or not self._begun(stream):
                self._force_end(own)
            else:
                speaking[stream.key] = stream
        if not speaking:
            return
        self._gather(speaking)
        batch = [stream for stream in self._slots[: len(speaking)] if stream is not None]
        views = [logits[stream.key] for stream in batch]
        step, n = self._column_step, len(batch)
        # One kernel for all requests in each direction; separate copies would take one launch per stream.
        torch._foreach_copy_(list(step.logits[:n].view(n, *views[0].shape).unbind()), views)
        step.run(n)
        torch._foreach_copy_(views, list(step.forced[:n].view(n, *views[0].shape).unbind()))
        self._on_codes(batch, self._transfer.send(step.codes[:n]))

    def _begun(self, stream: StreamT) -> bool:
        """Give a new stream a slot; False when that failed, which ends it alone."""
        if stream.slot is not None:
            return True
        slot = self._slots.index(None)
        try:
            self._column_step.begin(slot, stream.sampling, stream.tail, stream.place, stream.reference_rows)
        except Exception as error:
            stream.over = True
            self._on_error([stream], error)
            return False
        self._slots[slot], stream.slot = stream, slot
        return True

    def _forget_the_gone(self) -> None:
        for slot, stream in enumerate(self._slots):
            if stream is not None and (stream.over or stream.key not in self._streams):
                self._slots[slot] = None

    def _gather(self, speaking: Mapping[int, StreamT]) -> None:
        """Move this step's streams into the first slots, where the sampler looks.

        Streams that leave make holes. A stream may also sit out a step (the executor decides which run); it swaps slots
        with one that runs, through the spare slot.
        """
        outside = [s for s in speaking.values() if s.slot is not None and s.slot >= len(speaking)]
        for target in range(len(speaking)):
            resting = self._slots[target]
            if resting is not None and resting.key in speaking:
                continue
            mover = outside.pop()
            source, spare = mover.slot, len(self._slots)
            assert source is not None
            if resting is not None:
                self._column_step.move(target, spare)
            self._column_step.move(source, target)
            if resting is not None:
                self._column_step.move(spare, source)
                resting.slot = source
            self._slots[target], self._slots[source], mover.slot = mover, resting, target

    def _force_end(self, own: torch.Tensor) -> None:
        own.zero_()
        own[..., self._end_id].fill_(FORCED)

    def _give_up(
        self, cuda_stream: int, client_ids: Sequence[int | None], logits: Sequence[torch.Tensor], error: Exception
    ) -> None:
        """End every stream of a failed step, if the device can still do that."""
        streams = [self._streams[key] for key in client_ids if key is not None and key in self._streams]
        for stream in streams:
            stream.over = True
        self._on_error(streams, error)
        try:
            with torch.inference_mode(), on_stream(self._device, cuda_stream):
                for own in logits:
                    self._force_end(own)
        except Exception:  # the device is lost, and the executor will say so itself
            logger.exception("the end id could not be forced")
