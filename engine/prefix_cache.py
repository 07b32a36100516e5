"""Keys and values of positions that were read before, for prompts that begin with the same positions.

A position is the same when everything before it is and it is itself: the same text token, or the same code in every
codebook. What is kept is therefore a tree: a node holds some consecutive positions, its children how they went on, and
what begins alike is held once, however many went on from there. A node is cut in two where another prompt leaves it, so
that a shared beginning may have any length. When room is needed, the leaf that was asked for longest ago goes.

Nothing here knows a model or a device: keys and values are copies in the host's memory, which a runner makes and
puts back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import torch

from engine.types import CodebookLayout, Segment, TextSegment

_TEXT, _AUDIO = 0, 1


def position_rows(segments: Iterable[Segment], layout: CodebookLayout) -> np.ndarray:
    """What each position is, to be compared: int32 [positions, 1 + num_codebooks], its modality and its id or codes."""
    rows = [np.zeros((0, 1 + layout.num_codebooks), np.int32)]
    for segment in segments:
        part = np.zeros((len(segment), 1 + layout.num_codebooks), np.int32)
        if isinstance(segment, TextSegment):
            part[:, 0], part[:, 1] = _TEXT, segment.ids
        else:
            part[:, 0], part[:, 1:] = _AUDIO, segment.columns
        rows.append(part)
    return np.concatenate(rows)


@dataclass(eq=False)
class _Node:
    """Consecutive positions: their rows, and `values` [2 * num_layers, num_kv_heads, positions, head_dim]."""

    rows: np.ndarray
    values: torch.Tensor
    parent: _Node | None
    children: dict[bytes, _Node] = field(default_factory=dict)  # by their first row

    def adopt(self, child: _Node) -> None:
        child.parent = self
        self.children[child.rows[0].tobytes()] = child


class PrefixCache:
    """A bounded tree of positions. Not thread-safe: the engine's thread alone uses it.

    Args:
        capacity_bytes: what keys, values and rows may take; 0 keeps nothing.
        position_bytes: keys and values of one position.
    """

    def __init__(self, capacity_bytes: int, position_bytes: int, layout: CodebookLayout) -> None:
        self._cost = position_bytes + position_rows((), layout).itemsize * (1 + layout.num_codebooks)
        self._capacity = capacity_bytes // self._cost  # positions
        self.clear()

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes."""
        return self._held * self._cost

    def clear(self) -> None:
        """Forget everything."""
        self._held = 0
        self._root = _Node(np.zeros((0, 0), np.int32), torch.empty(0), None)
        # Longest ago first. Of a node and its child the child comes first, so the first of all is a leaf.
        self._recent: OrderedDict[_Node, None] = OrderedDict()

    def known(self, rows: np.ndarray) -> int:
        """How many of the first positions are kept."""
        return self._walk(rows)[1]

    def lookup(self, rows: np.ndarray) -> list[torch.Tensor]:
        """Keys and values of the first positions, as many as are kept, in pieces one behind the other."""
        path, known = self._walk(rows)
        self._touch(path)
        pieces = []
        for node in path:
            count = min(len(node.rows), known)
            pieces.append(node.values[:, :, :count])
            known -= count
        return pieces

    def store(self, rows: np.ndarray, read: Callable[[int, int], torch.Tensor]) -> None:
        """Keep these positions, of which `read(start, stop)` copies out those that are not kept yet.

        What does not fit beside its own beginning is cut off.
        """
        path, known = self._walk(rows)
        if known == len(rows):
            self._touch(path)
            return
        covered = sum(len(node.rows) for node in path)
        if covered > known:
            path[-1] = self._cut(path[-1], len(path[-1].rows) - (covered - known))
        self._touch(path)
        count = self._make_room(len(rows) - known, path)
        if count == 0:
            return
        leaf = _Node(rows[known : known + count].copy(), read(known, known + count), None)
        (path[-1] if path else self._root).adopt(leaf)
        self._held += count
        self._recent[leaf] = None
        self._touch([*path, leaf])

    def _walk(self, rows: np.ndarray) -> tuple[list[_Node], int]:
        """The nodes these positions lead through, the last one perhaps only in part, and how many positions agree."""
        path: list[_Node] = []
        node, known = self._root, 0
        while known < len(rows):
            child = node.children.get(rows[known].tobytes())
            if child is None:
                break
            path.append(child)
            common = _common(child.rows, rows[known:])
            known += common
            if common < len(child.rows):
                break
            node = child
        return path, known

    def _touch(self, path: list[_Node]) -> None:
        for node in reversed(path):
            self._recent.move_to_end(node)

    def _cut(self, node: _Node, at: int) -> _Node:
        """Give the first `at` positions of a node a node of their own, which is returned."""
        assert node.parent is not None
        upper = _Node(node.rows[:at].copy(), node.values[:, :, :at].clone(), None)
        node.parent.adopt(upper)
        node.rows, node.values = node.rows[at:].copy(), node.values[:, :, at:].clone()
        upper.adopt(node)
        self._recent[upper] = None
        return upper

    def _make_room(self, wanted: int, path: list[_Node]) -> int:
        """Let go of what was not asked for lately, but not of `path`; returns how many of `wanted` positions fit."""
        while self._held + wanted > self._capacity:
            oldest = next(iter(self._recent), None)
            if oldest is None or oldest in path:
                break
            assert oldest.parent is not None
            del oldest.parent.children[oldest.rows[0].tobytes()], self._recent[oldest]
            self._held -= len(oldest.rows)
        return min(wanted, self._capacity - self._held)


def _common(first: np.ndarray, second: np.ndarray) -> int:
    """How many rows two arrays have in common at their beginnings."""
    shorter = min(len(first), len(second))
    differs = np.flatnonzero((first[:shorter] != second[:shorter]).any(axis=1))
    return int(differs[0]) if len(differs) else shorter
