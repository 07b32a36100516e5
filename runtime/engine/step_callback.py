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

from runtime.engine.code_transfer import CodeTransfer, Transfer, on_stream
from runtime.engine.column_step import FORCED, ColumnStep
from runtime.engine.types import SamplingParameters

logger = logging.getLogger(__name__)


@dataclass(eq=False, kw_only=True)
class Speaker:
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


SpeakerT = TypeVar("SpeakerT", bound=Speaker)


class StepCallback(Generic[SpeakerT]):
    """The executor's batched logits post-processor.

    Args:
        speakers: the streams in the executor by key; read here, written by the engine.
        column_step: with one slot more than there can be streams, which changing places needs.
        end_id: what ends a request.
        on_codes: told, each step, who got codes, in the order of their rows, and where to wait for them.
        on_error: told who fails because of what.
    """

    def __init__(
        self,
        speakers: Mapping[int, SpeakerT],
        column_step: ColumnStep,
        end_id: int,
        transfer: CodeTransfer,
        device: torch.device,
        on_codes: Callable[[list[SpeakerT], Transfer], None],
        on_error: Callable[[list[SpeakerT], Exception], None],
    ) -> None:
        self._speakers, self._device = speakers, device
        self._column_step, self._end_id, self._transfer = column_step, end_id, transfer
        self._on_codes, self._on_error = on_codes, on_error
        self._slots: list[SpeakerT | None] = [None] * (len(column_step.codes) - 1)

    def __call__(
        self,
        request_ids: Sequence[int],
        logits: Sequence[torch.Tensor],
        tokens: Sequence[Sequence[Sequence[int]]],
        stream: int,
        client_ids: Sequence[int | None],
    ) -> None:
        """One step. logits: for each request a view [1, 1, vocabulary] of the executor's own, to be overwritten."""
        try:
            with torch.inference_mode(), on_stream(self._device, stream):
                self._step(dict(zip(client_ids, logits, strict=True)))
        except Exception as error:  # ours or the device's: the streams of this step cannot go on, others can
            logger.exception("a step's callback failed")
            self._give_up(stream, client_ids, logits, error)

    def _step(self, logits: dict[int | None, torch.Tensor]) -> None:
        self._forget_the_gone()
        speaking: dict[int, SpeakerT] = {}
        for key, own in logits.items():
            speaker = None if key is None else self._speakers.get(key)
            if speaker is None or speaker.over or not self._begun(speaker):
                self._force_end(own)
            else:
                speaking[speaker.key] = speaker
        if not speaking:
            return
        self._gather(speaking)
        batch = [speaker for speaker in self._slots[: len(speaking)] if speaker is not None]
        views = [logits[speaker.key] for speaker in batch]
        step, n = self._column_step, len(batch)
        # One kernel for all requests each way; a copy each would be as many launches as there are streams.
        torch._foreach_copy_(list(step.logits[:n].view(n, *views[0].shape).unbind()), views)
        step.run(n)
        torch._foreach_copy_(views, list(step.forced[:n].view(n, *views[0].shape).unbind()))
        self._on_codes(batch, self._transfer.send(step.codes[:n]))

    def _begun(self, speaker: SpeakerT) -> bool:
        """Give a new stream a slot; False when that failed, which ends it alone."""
        if speaker.slot is not None:
            return True
        slot = self._slots.index(None)
        try:
            self._column_step.begin(slot, speaker.sampling, speaker.tail, speaker.place, speaker.reference_rows)
        except Exception as error:
            speaker.over = True
            self._on_error([speaker], error)
            return False
        self._slots[slot], speaker.slot = speaker, slot
        return True

    def _forget_the_gone(self) -> None:
        for slot, speaker in enumerate(self._slots):
            if speaker is not None and (speaker.over or speaker.key not in self._speakers):
                self._slots[slot] = None

    def _gather(self, speaking: Mapping[int, SpeakerT]) -> None:
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
        self, stream: int, client_ids: Sequence[int | None], logits: Sequence[torch.Tensor], error: Exception
    ) -> None:
        """End every stream of a step that failed, if the device still does that much."""
        speakers = [self._speakers[key] for key in client_ids if key is not None and key in self._speakers]
        for speaker in speakers:
            speaker.over = True
        self._on_error(speakers, error)
        try:
            with torch.inference_mode(), on_stream(self._device, stream):
                for own in logits:
                    self._force_end(own)
        except Exception:  # the device is lost, and the executor will say so itself
            logger.exception("the end id could not be forced")
