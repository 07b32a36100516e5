"""Ids, extra ids and rows of the frame table."""

from __future__ import annotations

import numpy as np
import torch

from runtime.engine.delay_pattern import delay
from runtime.engine.trtllm.frame_table import FrameTable, end_id, prompt_tokens, table_ids
from runtime.engine.types import AudioSegment, CodebookLayout, Prompt, TextSegment

LAYOUT = CodebookLayout(num_codebooks=8, codebook_size=1026, stream_bos_id=1024, stream_eos_id=1025)
V = 8208


def clip(frames: int, seed: int = 0) -> AudioSegment:
    return AudioSegment(delay(np.random.default_rng(seed).integers(0, 1024, (8, frames)), LAYOUT))


def test_text_stands_behind_the_rows_and_clips_are_numbered_through() -> None:
    first, second = clip(3), clip(2, seed=1)
    text = TextSegment(np.array([0, 128013]))
    tokens = prompt_tokens(Prompt((text, first, text, second, text)), LAYOUT)
    rows = len(first) + len(second)
    assert (table_ids(LAYOUT), end_id(LAYOUT)) == (V, V - 1)
    texts = [V, V + 128013]
    assert tokens.ids == [*texts, *range(len(first)), *texts, *range(len(first), rows), *texts, rows]
    assert tokens.reference_rows == rows
    np.testing.assert_array_equal(tokens.columns, np.concatenate([first.columns, second.columns]))


def test_extra_ids_say_what_a_row_holds_and_nothing_else() -> None:
    text = TextSegment(np.array([5, 6]))
    one, other = (prompt_tokens(Prompt((text, clip(4, seed), text)), LAYOUT) for seed in (0, 1))
    assert one.ids == other.ids, "the ids alone cannot tell two clips of one length apart"
    for token, extra in zip(one.ids, one.extra_ids, strict=True):
        assert (extra == 0) == (token >= V) and extra < 2**64
    beginnings = one.extra_ids[2], one.extra_ids[-1]
    assert beginnings[0] == beginnings[1], "the clip's first column and column 0 are both all beginning marks"
    assert one.extra_ids[3] != other.extra_ids[3]
    assert one.extra_ids == prompt_tokens(Prompt((text, clip(4), text)), LAYOUT).extra_ids


def test_columns_go_to_alternating_rows_of_their_own_place() -> None:
    embedding = torch.randn(V, 4)
    table = FrameTable(embedding, LAYOUT, places=3, rows=12, slots=4)
    reference = torch.from_numpy(clip(1).columns)
    views = [table.fill(place, columns) for place, columns in ((0, reference[:0]), (2, reference))]
    assert [len(view) for view in views] == [2, len(reference) + 2]
    offsets = torch.arange(8) * 1026
    torch.testing.assert_close(views[1][:-2], embedding[reference + offsets].sum(1))
    torch.testing.assert_close(views[0][0], embedding[torch.full((8,), 1024) + offsets].sum(0))
    table.begin(0, 2, len(reference))
    table.begin(1, 0, 0)
    before = [view.clone() for view in views]
    codes = torch.randint(0, 1024, (2, 8))
    ids = table.write(codes, torch.tensor([1, 6]))
    assert ids.tolist() == [len(reference) + 1, 0]
    torch.testing.assert_close(views[1][-1], embedding[codes[0] + offsets].sum(0))
    torch.testing.assert_close(views[0][0], embedding[codes[1] + offsets].sum(0))
    torch.testing.assert_close(views[1][:-1], before[1][:-1])
    torch.testing.assert_close(views[0][1], before[0][1])
