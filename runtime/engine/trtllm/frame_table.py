"""The frame table: how an executor that feeds back one token id feeds a model that reads sums of eight embeddings.

Every stream owns a few rows of one table [rows, hidden]; the TensorRT-LLM executor holds a view of them and copies it
into the engine's prompt table before every step. An id below `num_codebooks * codebook_size` means that row of the
stream's table; any other id is a text token offset by that many ids. The rows are the reference clips' columns, one
each, followed by two rows that generated columns alternate between: column c is in row `reference_rows + c % 2`, so the
row written for the next step is never the one this step read. `docs/frame-table.md` has the picture and the sources.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import embedding

from runtime.engine.types import GENERATED_ROWS, AudioSegment, CodebookLayout, Prompt
from runtime.formats.errors import ModelLoadingError


def table_ids(layout: CodebookLayout) -> int:
    """How many ids mean table rows: the engine's vocabulary, and the width of its logits."""
    return layout.num_codebooks * layout.codebook_size


def end_id(layout: CodebookLayout) -> int:
    """The id that ends a request: the last one, a row no table is long enough to have."""
    return table_ids(layout) - 1


@dataclass(frozen=True)
class PromptTokens:
    """A prompt as the executor takes it, including column 0 of the speech.

    `ids`: one per position. `extra_ids`: one per position, 0 for text, otherwise a hash of the column that the row
    holds; it lets the executor reuse keys and values by id although the same id means another column in another
    request. `columns`: int64 [reference_rows, num_codebooks], the reference clips' columns in the order of their rows.
    """

    ids: list[int]
    extra_ids: list[int]
    columns: np.ndarray

    @property
    def reference_rows(self) -> int:
        """Rows the reference clips take."""
        return len(self.columns)


def prompt_tokens(prompt: Prompt, layout: CodebookLayout) -> PromptTokens:
    """Assign ids to a prompt's positions, and append column 0: all beginning marks, whatever the logits say."""
    audio = [segment.columns for segment in prompt.segments if isinstance(segment, AudioSegment)]
    columns = np.concatenate([*audio, np.zeros((0, layout.num_codebooks), np.int64)]).astype(np.int64)
    ids: list[int] = []
    extra_ids: list[int] = []
    row = 0
    for segment in prompt.segments:
        if isinstance(segment, AudioSegment):
            ids += range(row, row + len(segment))
            extra_ids += [_content_id(column) for column in columns[row : row + len(segment)]]
            row += len(segment)
        else:
            ids += (segment.ids + table_ids(layout)).tolist()
            extra_ids += [0] * len(segment)
    ids.append(row)
    extra_ids.append(_content_id(np.full(layout.num_codebooks, layout.stream_bos_id, np.int64)))
    return PromptTokens(ids, extra_ids, columns)


def _content_id(column: np.ndarray) -> int:
    """A hash of a column that fits 64 bits and is never 0, the value for generated tokens and text."""
    return int.from_bytes(hashlib.blake2b(column.astype("<i8").tobytes(), digest_size=8).digest(), "little") or 1


class FrameTable:
    """All streams' tables in one tensor, and where each decoding stream writes its next column.

    A `place` is a stream's share of the rows, from its submission to the executor to its last response. A `slot` is its
    row in the batch, as in `SamplerState`, known from its first step on and changed by `move`.

    Args:
        audio_embedding: [num_codebooks * codebook_size, hidden], of the engine's dtype and on its device.
        places, rows: how many streams, and how many rows each; slots: rows of a batch.
    """

    def __init__(
        self, audio_embedding: torch.Tensor, layout: CodebookLayout, places: int, rows: int, slots: int
    ) -> None:
        device = audio_embedding.device
        self._layout, self._rows_each = layout, rows
        self._embedding = audio_embedding
        self._codebook_offset = torch.arange(layout.num_codebooks, device=device) * layout.codebook_size
        self._rows = torch.zeros(places * rows, audio_embedding.shape[1], dtype=audio_embedding.dtype, device=device)
        self._reference_rows = torch.zeros(slots, dtype=torch.int64, device=device)
        self._place_offset = torch.zeros(slots, dtype=torch.int64, device=device)

    def fill(self, place: int, columns: torch.Tensor) -> torch.Tensor:
        """Write a stream's reference rows and its column 0; returns its table, a view [reference_rows + 2, hidden].

        columns: int64 [reference_rows, num_codebooks] on the table's device.
        """
        count = len(columns)
        table = self._rows[place * self._rows_each :][: count + GENERATED_ROWS]
        first = torch.full_like(self._codebook_offset, self._layout.stream_bos_id)[None]
        table[: count + 1] = self._embed(torch.cat([columns, first]))
        return table

    def begin(self, slot: int, place: int, reference_rows: int) -> None:
        """Assign a place to a slot, which writes into it from column 1 on."""
        self._reference_rows[slot].fill_(reference_rows)
        self._place_offset[slot].fill_(place * self._rows_each)

    def move(self, source: int, target: int) -> None:
        """Move the stream in slot `source` to slot `target`."""
        for tensor in (self._reference_rows, self._place_offset):
            tensor[target] = tensor[source]

    def write(self, codes: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
        """Write the next column of the streams in slots 0..n-1 and return the ids of their rows, int64 [n].

        codes: int64 [n, num_codebooks]; column: int64 [n], their numbers.
        """
        n = len(codes)
        ids = self._reference_rows[:n] + column % GENERATED_ROWS
        self._rows.index_copy_(0, self._place_offset[:n] + ids, self._embed(codes))
        return ids

    def _embed(self, columns: torch.Tensor) -> torch.Tensor:
        """Columns [n, num_codebooks] to the sums of their codebooks' embeddings, [n, hidden]."""
        return embedding(columns + self._codebook_offset, self._embedding).sum(dim=-2)


def read_audio_embedding(path: Path, layout: CodebookLayout) -> torch.Tensor:
    """[num_codebooks * codebook_size, hidden]. Raises ModelLoadingError when the file is missing or does not fit."""
    from safetensors.torch import load_file  # noqa: PLC0415 - no other engine needs it

    try:
        weight = load_file(path)["weight"]
    except Exception as error:
        raise ModelLoadingError(f"{path} does not hold the audio embedding: {error!r}") from error
    if weight.dim() != 2 or len(weight) != table_ids(layout):
        raise ModelLoadingError(f"{path} is {list(weight.shape)}; it must have {table_ids(layout)} rows")
    return weight
