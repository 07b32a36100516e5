"""Writes large ONNX graphs without holding their weights: nodes stay in memory, weights are streamed to one file.

Several graphs may share a weights file; later graphs only refer to a weight written once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
CONTRIB = "com.microsoft"  # ONNX Runtime's own operators
_ALIGNMENT = 4096  # a page: ONNX Runtime maps weights into memory instead of reading them


@dataclass(frozen=True)
class _Stored:
    offset: int
    length: int
    shape: tuple[int, ...]
    data_type: int


class WeightsFile:
    """The external data file of one or more graphs. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stored: dict[str, _Stored] = {}
        self._file: BinaryIO | None = None

    def __enter__(self) -> WeightsFile:
        self._file = self.path.open("wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def __contains__(self, name: str) -> bool:
        return name in self._stored

    def add(self, name: str, array: np.ndarray) -> None:
        """Append one weight; the array can be forgotten afterwards."""
        assert self._file is not None, "the weights file is open only inside its with block"
        self._file.seek(-self._file.tell() % _ALIGNMENT, 1)
        data = np.ascontiguousarray(array)
        offset = self._file.tell()
        self._file.write(data.reshape(-1).view(np.uint8).data)  # bfloat16 has no buffer format of its own
        self._stored[name] = _Stored(offset, data.nbytes, data.shape, helper.np_dtype_to_tensor_dtype(data.dtype))

    def shape(self, name: str) -> tuple[int, ...]:
        """A stored weight's shape."""
        return self._stored[name].shape

    def initializer(self, name: str) -> TensorProto:
        """The tensor that points at a weight in the file."""
        stored = self._stored[name]
        tensor = TensorProto(name=name, data_type=stored.data_type, dims=stored.shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", self.path.name), ("offset", stored.offset), ("length", stored.length)):
            tensor.external_data.add(key=key, value=str(value))
        return tensor


class GraphBuilder:
    """One ONNX graph under construction; node outputs are referred to by name."""

    def __init__(self, name: str, weights: WeightsFile) -> None:
        self.name = name
        self.weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._initializers: dict[str, TensorProto] = {}

    def input(self, name: str, data_type: int, shape: list[int | str]) -> str:
        """Declare a graph input; strings in the shape are dynamic axes."""
        self._inputs.append(helper.make_tensor_value_info(name, data_type, shape))
        return name

    def output(self, name: str, data_type: int, shape: list[int | str]) -> str:
        """Declare a graph output."""
        self._outputs.append(helper.make_tensor_value_info(name, data_type, shape))
        return name

    def constant(self, name: str, value: Any) -> str:
        """A small constant kept inside the graph file."""
        self._initializers[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def weight(self, name: str) -> str:
        """A weight of the weights file."""
        self._initializers[name] = self.weights.initializer(name)
        return name

    def node(self, operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> str:
        """Add a standard operator; returns its first output's name."""
        self._nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
        return outputs[0]

    def contrib(self, operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> str:
        """Add one of ONNX Runtime's own operators; returns its first output's name."""
        return self.node(operator, inputs, outputs, domain=CONTRIB, **attributes)

    def save(self, path: Path) -> None:
        """Write the graph beside its weights file."""
        graph = helper.make_graph(
            self._nodes, self.name, self._inputs, self._outputs, list(self._initializers.values())
        )
        opsets = [helper.make_opsetid("", OPSET)]
        if any(node.domain == CONTRIB for node in self._nodes):  # other compilers may not know that domain
            opsets.append(helper.make_opsetid(CONTRIB, 1))
        path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())
