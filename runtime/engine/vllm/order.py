"""What the engine tells the workers about a stream, beside its prompt: a request's `extra_args`, which vLLM carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from runtime.engine.types import SamplingParameters

_NAME = "speech"
_CODES = "<i2"


@dataclass(frozen=True)
class StreamOrder:
    """`place`: the stream's, until it ends; `first`: the position of its column 0; `tail`: what repetition-aware
    sampling counts as already said (`Prompt.tail`), or None; `columns`: its clips', int16 [rows, num_codebooks], and
    `rows`: where in the clip table they belong.
    """

    place: int
    first: int
    sampling: SamplingParameters
    tail: np.ndarray | None
    rows: list[int]
    columns: np.ndarray

    def write(self) -> dict[str, Any]:
        """As `extra_args`: plain values, which go through msgpack."""
        return {
            _NAME: {
                "place": self.place,
                "first": self.first,
                "sampling": asdict(self.sampling),
                "tail": None if self.tail is None else self.tail.astype(_CODES).tobytes(),
                "rows": self.rows,
                "columns": self.columns.astype(_CODES).tobytes(),
            }
        }

    @classmethod
    def read(cls, extra_args: Mapping[str, Any], num_codebooks: int) -> StreamOrder:
        """What `write` wrote."""

        def columns(data: bytes) -> np.ndarray:
            return np.frombuffer(data, _CODES).reshape(-1, num_codebooks).astype(np.int16)

        values = extra_args[_NAME]
        return cls(
            values["place"],
            values["first"],
            SamplingParameters(**values["sampling"]),
            None if values["tail"] is None else columns(values["tail"]),
            values["rows"],
            columns(values["columns"]),
        )
