"""Keys and values of earlier prompts, for prompts that begin with the same pieces.

A piece (`pieces.py`) has the same keys and values, bit for bit, when everything before it was read in the same
pieces and it is itself the same: the same text tokens, or the same code in every codebook. The cache is therefore a
tree: a node is a piece, its children are the pieces that followed it, and a shared beginning is stored once. When room
is needed, the least recently used leaf is evicted.

Nothing here knows a model or a device: keys and values are copies in the host's memory, which a runner makes and
writes back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from runtime.engine.inflight.pieces import Piece


@dataclass(eq=False)
class _Node:
    """A piece: what it is, and its keys and values, [2 * num_layers, num_kv_heads, positions, head_dim]."""

    key: bytes
    values: torch.Tensor
    nbytes: int
    parent: _Node | None
    children: dict[bytes, _Node] = field(default_factory=dict)


class PrefixCache:
    """A bounded tree of pieces. Not thread-safe: only the engine's thread uses it.

    Args:
        capacity_bytes: the most that keys, values and the pieces' own ids and codes may take; 0 keeps nothing.
        position_bytes: what the keys and values of one position take.
    """

    def __init__(self, capacity_bytes: int, position_bytes: int) -> None:
        self._capacity, self._position_bytes = capacity_bytes, position_bytes
        self.clear()

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes."""
        return self._held

    def clear(self) -> None:
        """Forget everything."""
        self._held = 0
        self._root = _Node(b"", torch.empty(0), 0, None)
        # Least recently used first. A child comes before its parent, so the first node is a leaf.
        self._recent: OrderedDict[_Node, None] = OrderedDict()

    def known(self, pieces: Sequence[Piece]) -> int:
        """How many positions of the first pieces are kept."""
        path = self._walk(pieces)
        return pieces[len(path) - 1].stop if path else 0

    def lookup(self, pieces: Sequence[Piece]) -> list[torch.Tensor]:
        """Keys and values of the first pieces, as many as are kept."""
        path = self._walk(pieces)
        self._touch(path)
        return [node.values for node in path]

    def store(self, pieces: Sequence[Piece], read: Callable[[int, int], torch.Tensor]) -> None:
        """Keep these pieces; `read(start, stop)` copies out those that are not kept yet.

        Pieces that do not fit together with the pieces before them are skipped.
        """
        path = self._walk(pieces)
        self._touch(path)
        for piece in pieces[len(path) :]:
            key = piece.key
            nbytes = len(piece.segment) * self._position_bytes + len(key)
            if not self._make_room(nbytes, path):
                return
            parent = path[-1] if path else self._root
            node = _Node(key, read(piece.start, piece.stop), nbytes, parent)
            parent.children[key] = node
            self._held += nbytes
            self._recent[node] = None
            path.append(node)
            self._touch(path)

    def _walk(self, pieces: Sequence[Piece]) -> list[_Node]:
        """The nodes of the first pieces, as many as are kept."""
        path: list[_Node] = []
        children = self._root.children
        for piece in pieces:
            node = children.get(piece.key)
            if node is None:
                break
            path.append(node)
            children = node.children
        return path

    def _touch(self, path: list[_Node]) -> None:
        for node in reversed(path):
            self._recent.move_to_end(node)

    def _make_room(self, nbytes: int, path: list[_Node]) -> bool:
        """Evict what was not used recently, but nothing of `path`; returns whether `nbytes` more fit now."""
        while self._held + nbytes > self._capacity:
            oldest = next(iter(self._recent), None)
            if oldest is None or oldest in path:
                return False
            assert oldest.parent is not None
            del oldest.parent.children[oldest.key], self._recent[oldest]
            self._held -= oldest.nbytes
        return True
