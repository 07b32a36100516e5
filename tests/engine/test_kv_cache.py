"""The KV cache laid out anew in place: whatever was stored in a slot is still there, at every length it takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from runtime.engine.inflight.kv_cache import KvCache, moves

LAYERS, HEADS, HEAD_DIM = 2, 3, 4


def filled(slots: int, max_positions: int, positions: int) -> tuple[KvCache, torch.Tensor]:
    """A cache whose slots hold that many random positions, and what they hold."""
    cache = KvCache(LAYERS, HEADS, HEAD_DIM, slots, max_positions)
    generator = torch.Generator().manual_seed(slots)
    content = torch.randn(2 * LAYERS, slots, HEADS, positions, HEAD_DIM, generator=generator)
    cache.prepare(0, [positions] * slots, free_from=slots)
    cache.store(content, 0, torch.arange(positions).expand(slots, positions))
    return cache, content


@pytest.mark.parametrize("slots", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("max_positions", [4096, 1000, 1023, 300])
def test_streams_keep_their_past_while_the_cache_grows_and_shrinks(slots: int, max_positions: int) -> None:
    cache, content = filled(slots, max_positions, 200)
    lengths = {cache.capacity}
    for longest in (201, 400, max_positions, 400, 210, 200):
        cache.prepare(0, [200] * (slots - 1) + [min(longest, max_positions)], free_from=slots)
        lengths.add(cache.capacity)
        assert cache.capacity >= min(longest, max_positions)
        torch.testing.assert_close(cache.buffers[:, :, :, :200], content, rtol=0, atol=0)
    assert len(lengths) == {4096: 4, 1000: 2, 1023: 2, 300: 1}[max_positions]
    assert torch.isfinite(cache.buffers).all()


@pytest.mark.parametrize("shorter, longer", [(256, 512), (127, 255), (1, 3)])
def test_no_copy_overlaps_itself_or_what_is_still_to_be_copied(shorter: int, longer: int) -> None:
    """On a GPU the order within a copy is anybody's guess, so that results on a CPU prove nothing here."""
    for blocks in range(1, 70):
        for grows, old, new in ((True, shorter, longer), (False, longer, shorter)):
            waiting = set(range(1, blocks))
            for move in moves(blocks, grows):
                moved = range(move.start, move.stop)
                source = {(b, at) for b in moved for at in (b * old, b * old + shorter - 1)}
                first, last = move.start * new, (move.stop - 1) * new + shorter - 1
                assert not [at for _, at in source if first <= at <= last], "overlaps itself"
                waiting -= set(moved)
                for b in waiting | {0}:
                    assert b * old > last or b * old + shorter - 1 < first, f"block {b} is overwritten"
            assert not waiting


def test_the_cache_takes_its_memory_once_and_is_as_long_as_its_longest_stream_needs() -> None:
    cache, _ = filled(4, 4096, 100)
    assert cache.nbytes == 2 * LAYERS * 4 * HEADS * 4096 * HEAD_DIM * 4
    assert cache.capacity == 256
    memory = cache.buffers.data_ptr()
    cache.prepare(2, [3000], free_from=3)
    assert cache.capacity == 4096
    assert cache.buffers.data_ptr() == memory
    cache.prepare(0, [100, 101], free_from=2)  # the long stream's slot is free again
    assert cache.capacity == 512


def test_a_slot_that_may_hold_a_prompt_being_read_keeps_its_length() -> None:
    cache, _ = filled(4, 4096, 100)
    cache.prepare(1, [3000], free_from=2)
    cache.prepare(0, [101], free_from=2)
    assert cache.capacity == 4096


def test_each_row_is_stored_at_its_own_positions_and_nowhere_else() -> None:
    cache, content = filled(3, 300, 40)
    new = torch.full((2 * LAYERS, 2, HEADS, 3, HEAD_DIM), 7.0)
    cache.store(new, 1, torch.tensor([[5, 6, 7], [37, 38, 39]]))
    expected = content.clone()
    expected[:, 1, :, 5:8] = 7.0
    expected[:, 2, :, 37:40] = 7.0
    torch.testing.assert_close(cache.buffers[:, :, :, :40], expected, rtol=0, atol=0)
    assert not cache.buffers[:, :, :, 40:].any()


def test_the_graphs_past_is_the_cache_itself_layer_by_layer() -> None:
    cache, content = filled(3, 300, 40)
    past = cache.past(1, 2)
    assert list(past) == ["past_key_0", "past_value_0", "past_key_1", "past_value_1"]
    for index, view in enumerate(past.values()):
        assert view.is_contiguous()
        np.testing.assert_array_equal(view[:, :, :40], content[index, 1:])
    cache.move(0, 2, 40)
    np.testing.assert_array_equal(past["past_value_1"][1, :, :40], content[3, 0])
