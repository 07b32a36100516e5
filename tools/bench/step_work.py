"""What a decode step of an exported language model reads and computes, from its graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

_PRODUCTS = {"MatMul", "MatMulNBits"}


@dataclass(frozen=True)
class StepWork:
    """Bytes of weights, whoever speaks, and the operations of one row.

    Embeddings and norms are left out: a row reads some kilobytes of them.
    """

    weight_bytes: int
    operations: int

    @classmethod
    def of(cls, graph: Path) -> StepWork:
        """Of the products in that graph."""
        model = onnx.load(graph, load_external_data=False).graph
        stored = {tensor.name: tensor for tensor in model.initializer}
        read = operations = 0
        for node in model.node:
            if node.op_type not in _PRODUCTS:
                continue
            weights = [stored[name] for name in node.input if name in stored]
            read += sum(_external_bytes(tensor) for tensor in weights)
            sizes = {one.name: one.i for one in node.attribute if one.name in ("N", "K")}
            rows, columns = sizes.values() if sizes else weights[0].dims
            operations += 2 * rows * columns
        return cls(read, operations)


def _external_bytes(tensor: onnx.TensorProto) -> int:
    return next(int(entry.value) for entry in tensor.external_data if entry.key == "length")
