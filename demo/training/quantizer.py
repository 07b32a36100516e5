"""Residual vector quantisation: codebooks by k-means, each fitted to the residual of those before it."""

from __future__ import annotations

import torch

ITERATIONS = 15


def fit_codebooks(
    points: torch.Tensor, count: int, codes: int, generator: torch.Generator
) -> tuple[torch.Tensor, float]:
    """`count` codebooks for float32 `points` [points, size].

    Returns them, float32 [count, codes, size], in values that float16 can hold, and the share of the points' variance
    that they leave unexplained together.
    """
    residual, codebooks = points, []
    for _ in range(count):
        centres = residual[torch.randperm(len(residual), generator=generator)[:codes]].clone()
        for _ in range(ITERATIONS):
            centres = _lloyd(residual, centres, generator)
        centres = centres.half().float()
        residual = residual - centres[nearest(residual, centres)]
        codebooks.append(centres)
    left = residual.square().sum() / (points - points.mean(dim=0)).square().sum()
    return torch.stack(codebooks), float(left)


def quantize(latents: torch.Tensor, codebooks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes int64 [..., codebooks] of `latents` [..., size], and their running sums [..., codebooks, size]."""
    total = torch.zeros_like(latents)
    codes, sums = [], []
    for codebook in codebooks:
        chosen = nearest(latents - total, codebook)
        total = total + codebook[chosen]
        codes.append(chosen)
        sums.append(total)
    return torch.stack(codes, dim=-1), torch.stack(sums, dim=-2)


def nearest(points: torch.Tensor, codebook: torch.Tensor) -> torch.Tensor:
    """The index of the nearest row of `codebook` [codes, size] for each of `points` [..., size]."""
    # |p - c|² without |p|², which is the same for every c.
    return (codebook.square().sum(dim=1) - 2 * points @ codebook.T).argmin(dim=-1)


def _lloyd(points: torch.Tensor, centres: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """One iteration of k-means; a centre that no point chose moves to a random point."""
    chosen = nearest(points, centres)
    counts = torch.bincount(chosen, minlength=len(centres))
    moved = torch.zeros_like(centres).index_add_(0, chosen, points) / counts.clamp(min=1)[:, None]
    empty = counts == 0
    moved[empty] = points[torch.randint(len(points), (int(empty.sum()),), generator=generator)]
    return moved
