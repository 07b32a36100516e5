"""A window of codes for the codec, and where its samples belong in the stream."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from runtime.formats.errors import InvalidRequestError, require, shortened
from runtime.formats.speech_plan import MAX_COUNT, MAX_PAUSE_FRAMES, made

NO_FRAME = -1  # what stands in each codebook before the first frame of a stream and after its last one


class FinishReason(str, Enum):
    """Why a stream ended."""

    STOP = "stop"
    LENGTH = "length"
    RUNAWAY = "runaway"
    CANCELLED = "cancelled"


@dataclass(frozen=True, eq=False)
class Window:
    """New frames, with the context that the codec needs to decode them as if it saw the whole stream.

    `codes`: int32 [num_codebooks, frames]; the new ones are `codes[:, context : context + count]`, and the first of
    them is frame `start` of the stream. `begins`, `ends`: another part joins before, after the new frames. `open`:
    whether one does is not known yet; the next window of the stream, which has no frames, says so. `pause`: frames of
    silence after them. `part`, `speaker`: which part and speaker they belong to. `finish_reason` and `report` are set
    on the last window only, which may have no new frames. `fault`: the message of the error that ends the stream here.
    `said`: what the part says (`part_text.py`), on the first window of each.
    `stream`: which stream the codec counts it to. `deadline`: until when its samples are of use, on the machine's
    clock, `time.monotonic()`.
    """

    codes: np.ndarray
    context: int = 0
    count: int = 0
    start: int = 0
    begins: bool = False
    ends: bool = False
    open: bool = False
    pause: int = 0
    part: int = 0
    speaker: str = ""
    finish_reason: FinishReason | None = None
    report: dict[str, Any] | None = None
    fault: str = ""
    said: dict[str, Any] | None = None
    stream: str = ""
    deadline: float = math.inf

    @property
    def abandons(self) -> bool:
        """Whether it ends the stream so that nothing still waiting to be decoded matters."""
        return bool(self.fault) or self.finish_reason is FinishReason.CANCELLED

    @property
    def stop(self) -> int:
        """The frame of the stream that the next window begins with."""
        return self.start + self.count + self.pause

    @property
    def last(self) -> bool:
        """Whether it ends the stream."""
        return bool(self.fault) or self.finish_reason is not None

    def surrounded(self, context: int) -> np.ndarray:
        """The new frames as the codec's decoder takes them; without new frames, none."""
        return surrounded(self.codes, self.context, self.count, context) if self.count else self.codes[:, :0]

    def write(self) -> str:
        """Everything but the codes as JSON."""
        return json.dumps(vars(self) | {"codes": None}, ensure_ascii=False)

    @classmethod
    def read(cls, codes: np.ndarray, text: str) -> Window:
        """A window of `codes` and of what `write` wrote. Raises InvalidRequestError for anything else."""
        try:
            values = json.loads(text)
            reason = values["finish_reason"]
            window = made(cls, values | {"codes": codes, "finish_reason": FinishReason(reason) if reason else None})
            least, last = min(window.context, window.count, window.start, window.pause), window.context + window.count
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InvalidRequestError(
                f"the window is not what the language model's stage writes: {shortened(repr(error))}"
            ) from error
        require(least >= 0 and 0 <= window.part < 2**31 and window.start < 2**53, "window", text)
        for name in ("report", "said"):
            told = getattr(window, name)
            require(told is None or isinstance(told, dict), name, told)
        require(window.pause <= MAX_PAUSE_FRAMES, "pause", window.pause)
        require(0 <= window.deadline <= MAX_COUNT or window.deadline == math.inf, "deadline", window.deadline)
        require(last <= codes.shape[-1], "context and count", last)
        return window


def surrounded(codes: np.ndarray, start: int, count: int, context: int) -> np.ndarray:
    """What the codec's decoder needs for `count` frames from `start` on, of codes int32 [..., frames]: those and
    `context` frames on each side, int32 [..., context + count + context], NO_FRAME where there is none.
    """
    beside = [(0, 0)] * (codes.ndim - 1) + [(context, context)]
    return np.pad(codes, beside, constant_values=NO_FRAME)[..., start : start + count + 2 * context]
