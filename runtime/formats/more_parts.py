"""More parts for a stream whose text grows. `prompt` writes them and `lm` reads them, past Triton: they belong to no
request that Triton still has (`triton/notes.py`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from runtime.formats.errors import InvalidRequestError, shortened
from runtime.formats.speech_plan import PlannedPart, made, read_parts


@dataclass(frozen=True)
class MoreParts:
    """`stream`: the id of the stream that they continue. `pause`: frames of silence before them. `ended`: no more will
    follow. `fault`: the message of the error that ends the stream behind what it has; "" for none. `about`: what the
    report says otherwise than the plan did.
    """

    stream: str
    pause: int
    parts: tuple[PlannedPart, ...]
    ended: bool
    fault: str
    about: dict[str, Any]

    def write(self) -> str:
        """Itself as JSON, on one line."""
        return json.dumps(self, default=vars, ensure_ascii=False)

    @classmethod
    def read(cls, text: str | bytes) -> MoreParts:
        """What `write` wrote. Raises InvalidRequestError for anything else."""
        try:
            values = json.loads(text)
            return made(cls, values | {"parts": read_parts(values["parts"])})
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise InvalidRequestError(
                f"the parts are not what the text stage writes: {shortened(repr(error))}"
            ) from error
