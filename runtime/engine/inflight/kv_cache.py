"""The KV cache of all slots for a graph that only reads it: one tensor, bound in place, as long as it needs to be.

A compiled graph takes whole, contiguous tensors, and its attention costs as much as they are long, however much of them
is filled. So every slot has the same length: the shortest of a few (the limit halved repeatedly) that fits the longest
stream. When that length changes, the cache is laid out anew within the same memory. The memory is allocated once, at
the start, so a step never runs out of it. Few lengths also mean few shapes, which compiled kernels need.
"""

from __future__ import annotations

from itertools import pairwise

import torch

_SHORTEST = 256  # positions; below this, halving again saves less than a new shape costs


class KvCache:
    """Keys and values of every layer and slot.

    Args:
        num_layers, num_kv_heads, head_dim: the model's.
        slots: streams.
        max_positions: what a slot must be able to hold.
        dtype, device: of the buffers.
    """

    def __init__(
        self,
        num_layers: int,
        num_kv_heads: int,
        head_dim: int,
        slots: int,
        max_positions: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self._layers, self._slots = 2 * num_layers, slots
        self._heads, self._head_dim = num_kv_heads, head_dim
        self._capacities = _capacities(max_positions)
        # Zeros, never garbage: what follows a stream's positions is weighted with 0, and 0 times NaN is NaN.
        size = self._layers * slots * num_kv_heads * max_positions * head_dim
        self._storage = torch.zeros(size, dtype=dtype, device=device)
        self._used = [0] * slots
        self.capacity = self._capacities[0]

    @property
    def buffers(self) -> torch.Tensor:
        """[2 * num_layers, slots, num_kv_heads, capacity, head_dim], each layer's keys before its values."""
        return self._view(self.capacity)

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes."""
        return self._storage.nbytes

    def prepare(self, slot: int, positions: list[int], free_from: int) -> None:
        """Prepare slots from `slot` on to be written up to these positions; changes the layout if necessary.

        free_from: slots from this one on hold no stream.
        """
        self._used[slot : slot + len(positions)] = positions
        self._used[free_from:] = [0] * (self._slots - free_from)
        longest = max(self._used)
        wanted = next(index for index, capacity in enumerate(self._capacities) if capacity >= longest)
        now = self._capacities.index(self.capacity)
        while now < wanted:
            now += 1
            self._lay_out(self._capacities[now])
        # Keep one length of headroom, so that streams near a boundary do not change the layout at every step.
        while now > wanted + 1:
            now -= 1
            self._lay_out(self._capacities[now])

    def past(self, slot: int, rows: int) -> dict[str, torch.Tensor]:
        """The graph's past inputs for `rows` slots from `slot` on: views [rows, num_kv_heads, capacity, head_dim]."""
        buffers = self.buffers
        return {
            f"past_{kind}_{layer}": buffers[2 * layer + offset, slot : slot + rows]
            for layer in range(self._layers // 2)
            for offset, kind in enumerate(("key", "value"))
        }

    def store(self, new: torch.Tensor, slot: int, positions: torch.Tensor) -> None:
        """Write new positions of consecutive slots in one operation.

        new: [2 * num_layers, rows, num_kv_heads, sequence, head_dim]; positions: int64 [rows, sequence].
        """
        rows = torch.arange(slot, slot + len(positions), device=positions.device)[:, None]
        # Non-adjacent index axes move to the front: [rows, sequence, 2 * num_layers, heads, head_dim].
        self.buffers[:, rows, :, positions] = new.permute(1, 3, 0, 2, 4)

    def move(self, source: int, target: int, positions: int) -> None:
        """Copy the first `positions` of one slot to another."""
        buffers = self.buffers
        buffers[:, target, :, :positions] = buffers[:, source, :, :positions]
        self._used[target] = positions

    @property
    def position_bytes(self) -> int:
        """Keys and values of one position of one slot, in bytes."""
        return self._layers * self._heads * self._head_dim * self._storage.itemsize

    def read(self, slot: int, start: int, stop: int) -> torch.Tensor:
        """A copy of a slot's positions: [2 * num_layers, num_kv_heads, stop - start, head_dim]."""
        return self.buffers[:, slot, :, start:stop].clone()

    def write(self, slot: int, start: int, values: torch.Tensor) -> None:
        """Write positions that `read` gave into a slot that is prepared for them."""
        self.buffers[:, slot, :, start : start + values.shape[2]] = values

    def _view(self, capacity: int) -> torch.Tensor:
        shape = (self._layers, self._slots, self._heads, capacity, self._head_dim)
        return self._storage[: self._layers * self._slots * self._heads * capacity * self._head_dim].view(shape)

    def _lay_out(self, capacity: int) -> None:
        """Give every slot another length."""
        old, new = self._view(self.capacity).flatten(0, 2), self._view(capacity).flatten(0, 2)
        kept = min(self.capacity, capacity)
        for blocks in moves(len(old), grows=capacity > self.capacity):
            new[blocks, :kept] = old[blocks, :kept]
        self.capacity = capacity


def moves(blocks: int, grows: bool) -> list[slice]:
    """The order in which to copy a row of blocks within its own memory when their length is halved, doubled or more.

    No copy overlaps itself or a block still to be copied. When growing, the last blocks go first, half of what is left
    at a time, since the upper half does not overlap its target; shrinking is the reverse. Block 0 stays in place.
    """
    ends = [blocks]
    while ends[-1] > 1:
        ends.append((ends[-1] + 1) // 2)
    steps = [slice(start, end) for end, start in pairwise(ends)]
    return steps if grows else steps[::-1]


def _capacities(max_positions: int) -> list[int]:
    """Shortest first; each at least twice the one before."""
    capacities = [max_positions]
    while capacities[-1] // 2 >= _SHORTEST:
        capacities.append(capacities[-1] // 2)
    return capacities[::-1]
