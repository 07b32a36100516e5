"""Codes are points, and their rows in a language model's tables are taught as such.

A row of the table that reads codes, or of the head that chooses them, meets its own code alone: one frame in a
thousand, and in the last codebooks hardly ever for the same reason twice. But what a code means is known, its point in
the codec's space; and which code comes nearest to a wanted point follows from products with the points and from their
lengths. So besides its own steps every row takes some that are linear in these, by one map for all codes of a codebook,
learned from every frame.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from demo.sizes import CODEBOOK_SIZE


class AlongCodes:
    """Steps of a table [codebooks * CODEBOOK_SIZE, hidden] that are linear in the points of its codes.

    An optimizer that `steer` was told of learns `slopes`, which are 0 whenever the table is used: their gradient is the
    table's, and each step they take is the table's at once.
    """

    def __init__(self, table: torch.Tensor, codebooks: torch.Tensor) -> None:
        """`codebooks` float32 [codebooks, codes, size]."""
        self._table = table
        lengths = codebooks.square().sum(dim=2, keepdim=True)
        known = torch.cat([_standard(codebooks), _standard(lengths)], dim=2)
        marks = CODEBOOK_SIZE - codebooks.shape[1]  # of a beginning and an end: no points
        self._points = functional.pad(known, (0, 0, 0, marks)).to(table.device)
        self.slopes = nn.Parameter(table.new_zeros(len(known), known.shape[2], table.shape[1]))

    def steer(self, optimizer: torch.optim.Optimizer) -> None:
        """To be called with the optimizer of `slopes`."""
        optimizer.register_step_pre_hook(lambda *_: self._pass_gradient())
        optimizer.register_step_post_hook(lambda *_: self._pass_step())

    def _pass_gradient(self) -> None:
        assert self._table.grad is not None
        self.slopes.grad = self._points.mT @ self._table.grad.unflatten(0, (-1, CODEBOOK_SIZE))

    @torch.no_grad()
    def _pass_step(self) -> None:
        self._table.add_((self._points @ self.slopes).flatten(0, 1))
        self.slopes.zero_()


def _standard(points: torch.Tensor) -> torch.Tensor:
    """[codebooks, codes, size], moved and scaled so that a codebook's points lie around 0 with a mean square of 1."""
    centred = points - points.mean(dim=1, keepdim=True)
    spread = centred.square().sum(dim=2, keepdim=True).mean(dim=1, keepdim=True).sqrt()
    return centred / spread.clamp(min=1e-6)
