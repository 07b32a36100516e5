"""The token ids that vLLM sees: one id a position, which says what stands there without being it.

vLLM feeds back one id a step, caches keys and values by the ids before them, and takes the likeliest id of each row of
logits. So the ids are, from 0 on:

    codebooks   one a codebook. Never fed: in a row of logits their values are the column's codes, which is how codes
                reach the engine, as "log-probabilities" of these ids.
    places      one a stream that speaks. A generated column has its stream's id; which column it is, its position says.
    text        one a token of the tokenizer.
    beginnings  all mean column 0, the column of beginning marks. Each request takes another, so that nothing behind it,
                whose ids say nothing of its codes, is ever taken for another request's.
    clips       a column of a clip in the clip table: row + version * rows. A row whose content changes gets another
                version, so equal ids mean equal columns, and vLLM's prefix cache may trust them.

The last two wrap around, long after vLLM's cache, which drops its oldest blocks first, has forgotten the first.
"""

from __future__ import annotations

from dataclasses import dataclass

_BEGINNINGS = 2**24
_IDS = 2**31  # vLLM holds ids in int32


@dataclass(frozen=True)
class IdSpace:
    """Where each kind of id begins. `places`: streams at once; `clip_rows`: columns in the clip table."""

    num_codebooks: int
    places: int
    vocab_size: int
    clip_rows: int

    @property
    def text(self) -> int:
        return self.num_codebooks + self.places

    @property
    def beginnings(self) -> int:
        return self.text + self.vocab_size

    @property
    def clips(self) -> int:
        return self.beginnings + _BEGINNINGS

    @property
    def versions(self) -> int:
        """How often a row's content can change before an id comes again."""
        return (_IDS - self.clips) // self.clip_rows

    def place(self, place: int) -> int:
        """The id of a column that the stream in this place has spoken."""
        return self.num_codebooks + place

    def beginning(self, request: int) -> int:
        """The id of column 0 of the request with this number."""
        return self.beginnings + request % _BEGINNINGS

    def clip(self, row: int, version: int) -> int:
        """The id of a row of the clip table."""
        return self.clips + row + version % self.versions * self.clip_rows
