"""A request on its way through the vLLM engine."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from runtime.engine.admission import code_stream
from runtime.engine.code_stream import CodeStream
from runtime.engine.contract import Listener
from runtime.engine.types import AudioSegment, CodebookLayout, Limits, Request
from runtime.engine.vllm.clip_table import Clip, ClipTable
from runtime.engine.vllm.id_space import IdSpace
from runtime.engine.vllm.order import StreamOrder


@dataclass(eq=False, kw_only=True)
class VllmStream:
    """A stream that first waits without a place, then is in vLLM under its key, then is over.

    `deadline`: on the clock of time.monotonic(). `clips`: what it reads of the clip table while it has a place.
    """

    key: int
    request: Request
    codes: CodeStream
    deadline: float
    on_event: Listener
    place: int = -1
    over: bool = False
    clips: list[Clip] = field(default_factory=list)

    @classmethod
    def of(cls, request: Request, on_event: Listener, key: int, layout: CodebookLayout, limits: Limits) -> VllmStream:
        """A waiting stream. Raises InvalidRequestError when its prompt leaves no room to speak."""
        codes = code_stream(request, layout, limits)
        return cls(
            key=key, request=request, codes=codes, deadline=time.monotonic() + request.timeout, on_event=on_event
        )

    def enter(self, space: IdSpace, table: ClipTable) -> tuple[list[int], StreamOrder]:
        """Take rows for its clips; returns the ids of its prompt and of column 0, and what the workers must know."""
        ids: list[int] = []
        columns = [np.zeros((0, space.num_codebooks), np.int64)]
        for segment in self.request.prompt.segments:
            if isinstance(segment, AudioSegment):
                self.clips.append(table.take(segment.columns))
                columns.append(segment.columns)
                ids += self.clips[-1].ids
            else:
                ids += (segment.ids + space.text).tolist()
        ids.append(space.beginning(self.key))
        rows = [row for clip in self.clips for row in clip.rows]
        tail, first = self.request.prompt.tail, len(ids) - 1
        return ids, StreamOrder(self.place, first, self.request.sampling, tail, rows, np.concatenate(columns))

    def leave(self, table: ClipTable) -> None:
        """Give back what `enter` took."""
        while self.clips:
            table.give_back(self.clips.pop())
