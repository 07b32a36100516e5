"""Which rows of the workers' clip table hold which clip: the engine's side of the table."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from runtime.engine.vllm.id_space import IdSpace


@dataclass(eq=False)
class Clip:
    """A clip in the table. `rows`: one a column, in order; `ids`: what vLLM sees; `readers`: streams that need it."""

    rows: list[int]
    ids: list[int]
    readers: int = 0


class ClipTable:
    """Equal clips share their rows and so their ids. A clip that nobody reads stays until its rows are needed.

    Not thread-safe. There are as many rows as all streams' prompts have positions, so there is always room.
    """

    def __init__(self, space: IdSpace) -> None:
        self._space = space
        self._free = list(range(space.clip_rows))
        self._versions = [0] * space.clip_rows
        self._clips: OrderedDict[bytes, Clip] = OrderedDict()  # the longest unused first

    def take(self, columns: np.ndarray) -> Clip:
        """The clip with these columns, int [columns, num_codebooks], to be given back once."""
        key = hashlib.blake2b(columns.astype("<i2").tobytes()).digest()
        clip = self._clips.get(key)
        if clip is None:
            clip = self._clips[key] = self._place(len(columns))
        self._clips.move_to_end(key)
        clip.readers += 1
        return clip

    def give_back(self, clip: Clip) -> None:
        """One stream less reads it."""
        clip.readers -= 1

    def _place(self, count: int) -> Clip:
        unread = iter([key for key, clip in self._clips.items() if not clip.readers])
        while len(self._free) < count:
            self._free += self._clips.pop(next(unread)).rows
        rows = [self._free.pop() for _ in range(count)]
        for row in rows:
            self._versions[row] += 1
        return Clip(rows, [self._space.clip(row, self._versions[row]) for row in rows])
