"""Ids of clips: equal for equal clips, and never again for another one."""

from __future__ import annotations

import numpy as np

from runtime.engine.types import SamplingParameters
from runtime.engine.vllm.clip_table import ClipTable
from runtime.engine.vllm.id_space import IdSpace
from runtime.engine.vllm.order import StreamOrder

SPACE = IdSpace(num_codebooks=8, places=2, vocab_size=100, clip_rows=20)


def columns(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1026, (count, 8))


def test_equal_clips_have_equal_ids_and_others_have_others() -> None:
    table = ClipTable(SPACE)
    first, again, other = (table.take(columns(seed, 6)) for seed in (1, 1, 2))
    assert first is again
    assert not set(first.ids) & set(other.ids) and not set(first.rows) & set(other.rows)


def test_rows_are_taken_from_the_longest_unused_and_come_back_under_other_ids() -> None:
    table = ClipTable(SPACE)
    read, old, older = table.take(columns(1, 8)), table.take(columns(2, 6)), table.take(columns(3, 6))
    table.give_back(old)
    table.give_back(older)
    table.give_back(table.take(columns(2, 6)))
    new = table.take(columns(4, 6))
    assert set(new.rows) == set(older.rows), "the second was used since"
    assert not set(new.ids) & {*read.ids, *old.ids, *older.ids}
    assert table.take(columns(1, 8)) is read and table.take(columns(2, 6)) is old


def test_every_kind_of_id_has_its_own_range() -> None:
    space = IdSpace(num_codebooks=8, places=64, vocab_size=128256, clip_rows=64 * 4096)
    ends = [space.place(0), space.place(63), space.text, space.text + 128255, space.beginning(2**24)]
    ends += [space.beginning(2**24 - 1), space.clip(0, 0), space.clip(64 * 4096 - 1, space.versions - 1)]
    assert ends == sorted(set(ends)) and ends[0] == 8 and ends[-1] < 2**31
    assert space.clip(5, space.versions) == space.clip(5, 0), "they come again after"
    assert space.versions > 8000


def test_an_order_reads_what_it_writes() -> None:
    sampling = SamplingParameters(temperature=0.7, top_k=50, top_p=0.95, ras_window=7, ras_max_repeats=2, seed=3)
    order = StreamOrder(3, 17, sampling, columns(1, 5), [4, 2], columns(2, 2))
    read = StreamOrder.read(order.write(), 8)
    assert (read.place, read.first, read.sampling, read.rows) == (3, 17, sampling, [4, 2])
    assert read.tail is not None and order.tail is not None
    np.testing.assert_array_equal(read.tail, order.tail)
    np.testing.assert_array_equal(read.columns, order.columns)
