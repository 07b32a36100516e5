"""A request on its way through the TensorRT-LLM engine, and the short ones that warm it up."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

from runtime.engine.admission import code_stream
from runtime.engine.code_stream import CodeStream
from runtime.engine.contract import Listener
from runtime.engine.trtllm.executor_config import BuiltEngine
from runtime.engine.trtllm.frame_table import PromptTokens, prompt_tokens
from runtime.engine.trtllm.step_callback import SpokenStream
from runtime.engine.types import CodebookLayout, Limits, Prompt, Request, SamplingParameters, TextSegment, WindowPlan
from runtime.formats.errors import InvalidRequestError

_WARM_UP_SECONDS = 300.0


@dataclass(eq=False, kw_only=True)
class TrtllmStream(SpokenStream):
    """A stream that first waits without a place, then is in the executor under its key, then is over.

    `deadline`: on the clock of time.monotonic(). `table`: kept as long as the executor may have it, so that the
    executor's thread, which may hold its own locks then, never drops the last reference to a Python object.
    """

    request: Request
    tokens: PromptTokens
    codes: CodeStream
    deadline: float
    on_event: Listener
    executor_id: int | None = None
    table: torch.Tensor | None = None

    @classmethod
    def of(
        cls,
        request: Request,
        on_event: Listener,
        key: int,
        layout: CodebookLayout,
        limits: Limits,
        built: BuiltEngine,
    ) -> TrtllmStream:
        """A waiting stream.

        Raises InvalidRequestError when the prompt leaves no room to speak or does not fit the engine.
        """
        codes = code_stream(request, layout, limits)
        tokens = prompt_tokens(request.prompt, layout)
        if tokens.reference_rows > built.reference_rows:
            raise InvalidRequestError(
                f"the reference clips take {tokens.reference_rows} frame table rows; "
                f"this engine was built for {built.reference_rows}"
            )
        if len(tokens.ids) > built.max_input_len:
            raise InvalidRequestError(
                f"the prompt takes {len(tokens.ids)} positions; this engine was built for {built.max_input_len}"
            )
        return cls(
            key=key,
            sampling=request.sampling,
            tail=None,
            place=-1,
            reference_rows=tokens.reference_rows,
            request=request,
            tokens=tokens,
            codes=codes,
            deadline=time.monotonic() + request.timeout,
            on_event=on_event,
        )


def warm_up_requests(count: int, positions: int) -> list[Request]:
    """Greedy streams of growing length over a prompt of `positions` positions.

    Started together, they end one after another, two steps apart: every number of streams runs twice, so that the
    second step can use what the first one set up.
    """
    prompt = Prompt((TextSegment(np.zeros(positions, np.int64)),))
    sampling = SamplingParameters(temperature=0.0, top_k=0, top_p=1.0, ras_window=0, ras_max_repeats=1, seed=0)
    windows = WindowPlan(first=2 * count, growth=1.0, maximum=2 * count)
    return [
        Request(f"warm-up {number}", prompt, sampling, windows, 1 + 2 * number, _WARM_UP_SECONDS)
        for number in range(count)
    ]
