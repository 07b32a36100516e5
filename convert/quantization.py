"""Weight-only quantisation for ONNX Runtime's MatMulNBits: symmetric, rounded to nearest, one scale per block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Precision:
    """How the linear layers' weights are stored. `bits` None is float32.

    Where weights have few bits, activations are rounded too: to eight, in blocks of the same size. `scores`, if it is
    set, is how the weights of queries, keys and values are stored: what they lose is multiplied by attention's softmax.
    """

    name: str
    bits: int | None = None
    block_size: int = 32
    scores: Precision | None = None


_INT8 = Precision("int8", 8, block_size=16)
PRECISIONS = {p.name: p for p in (Precision("fp32"), _INT8, Precision("int4", 4, scores=_INT8))}


def quantize(weight: np.ndarray, precision: Precision) -> tuple[np.ndarray, np.ndarray]:
    """Quantise one linear layer.

    weight: float32 [out, in] with `in` a multiple of the block size. Returns MatMulNBits' packed weights, uint8
    [out, in / block, block * bits / 8], low nibble first, stored with the zero point 2^(bits-1); and its scales,
    float32 [out, in / block].
    """
    assert precision.bits is not None
    rows, columns = weight.shape
    if columns % precision.block_size:
        raise ValueError(f"{columns} inputs are not a multiple of the block size {precision.block_size}")
    zero = 1 << (precision.bits - 1)
    blocks = weight.reshape(rows, columns // precision.block_size, precision.block_size)
    # The value of largest magnitude maps to -zero, the only level that the symmetric range has on one side only.
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2, keepdims=True), axis=2)
    scales = extreme / -zero
    safe = np.where(scales == 0, 1, scales)
    levels = np.clip(np.rint(blocks / safe) + zero, 0, 2 * zero - 1).astype(np.uint8)
    if precision.bits == 4:
        levels = levels[:, :, 0::2] | (levels[:, :, 1::2] << 4)
    return levels, scales[:, :, 0].astype(np.float32)
