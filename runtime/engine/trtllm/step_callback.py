"""What the TensorRT-LLM executor calls between the network and its own sampling, once a step, for all requests at
once.

In that call, on the executor's stream and without waiting for it: let `ColumnStep` choose the next column of every
stream and write its embedding into the stream's frame table, and overwrite the logits so that the executor's top-1
sampling takes the id of that row. The codes leave for the host beside it. Nothing here reads a value back from the
device; what must be known of the streams on the host (which ones, in which slot) is known without asking.

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
    """What the callback knows of a stream.

    `key`: the executor's client id. `tail`: int64 [columns, num_codebooks] on the device, what repetition-aware
    sampling counts as already said, or None. `over`: nothing more is wanted of it, so its request gets the end id;
    set by the thread that collects codes, which is a step behind, or two. `slot`: None until its first step.
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
        column_step: with one slot more than there can be streams, which changing places needs.
        end_id: what ends a request.
        on_codes: told, each step, who got codes, in the order of their rows, and where to wait for them.
        on_error: told who fails because of what.
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
        """One step. logits: for each request a view [1, 1, vocabulary] of the executor's own, to be overwritten."""
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
        # One kernel for all requests each way; a copy each would be as many launches as there are streams.
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
        """Move this step's streams into the first slots, which is where the sampler looks.

        Streams that leave make holes. A stream may also sit a step out (the executor decides who runs); it changes
        places with one that runs, by way of the spare slot.
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
        """End every stream of a step that failed, if the device still does that much."""
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
