"""The two ways in which the network routes text and audio: split by index as on a CPU, and masked as elsewhere."""

from __future__ import annotations

from dataclasses import replace

import torch

from runtime.engine.types import CodebookLayout
from runtime.engine.vllm.columns import Columns
from runtime.engine.vllm.id_space import IdSpace
from runtime.engine.vllm.network import Modality, routed


def test_split_and_masked_positions_take_the_same_way() -> None:
    torch.manual_seed(0)
    x, is_text = torch.randn(9, 4), torch.tensor([1, 1, 0, 0, 1, 0, 0, 1, 0], dtype=torch.bool)
    split = Modality.of(is_text)
    masked = replace(split, where=None)
    expected = torch.where(is_text[:, None], 2 * x, x - 1)
    for modality in (split, masked):
        assert torch.equal(routed(x, modality, lambda t: 2 * t, lambda t: t - 1), expected)
    assert torch.equal(routed(x, None, lambda t: 2 * t, lambda t: t - 1), x - 1)


def test_every_kind_of_id_finds_its_column() -> None:
    layout = CodebookLayout(8, 1026, 1024, 1025)
    space = IdSpace(8, places=3, vocab_size=50, clip_rows=30)
    columns = Columns(layout, space, positions=12, device=torch.device("cpu"))
    columns.spoken[2, 7] = torch.arange(8, dtype=torch.int16)
    columns.clips[29] = torch.arange(100, 108, dtype=torch.int16)
    ids = torch.tensor(
        [space.place(2), space.text, space.text + 49, space.beginning(5), space.clip(29, 1), space.clip(29, 9)]
    )
    found = columns.at(ids, torch.tensor([7, 0, 11, 3, 4, 5]))
    assert found[0].tolist() == list(range(8))
    assert found[3].tolist() == [1024] * 8
    assert found[4].tolist() == found[5].tolist() == list(range(100, 108))
    assert columns.is_text(ids).tolist() == [False, True, True, False, False, False]
    assert columns.text(ids)[1:3].tolist() == [0, 49]
