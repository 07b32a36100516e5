"""A network of the codec, wherever it runs: in ONNX Runtime here, or as a TensorRT model of its own in Triton."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from common import tensors

Network = Callable[[np.ndarray], np.ndarray]


def open_network(args: dict[str, str], settings: dict[str, Any]) -> Network:
    """The network that `settings["network"]` describes: `engine`, `name`, `input` and `output`.

    Raises ModelLoadingError when its file is missing or no network.
    """
    network = settings["network"]
    if network["engine"] == "tensorrt":
        return PlanModel(f"{args['model_name']}_plan", network["input"], network["output"])
    if network["engine"] == "tensorrt-rtx":
        from common.rtx import RtxNetwork  # noqa: PLC0415

        path = tensors.version_directory(args) / f"{network['name']}.engine"
        return RtxNetwork.load(path, network["input"], network["output"])
    # Imported here: where TensorRT runs the codec, ONNX Runtime need not be installed.
    from common.onnx import session  # noqa: PLC0415

    opened = session(tensors.version_directory(args) / f"{network['name']}.onnx", settings["threads"])
    return lambda array: opened.run([network["output"]], {network["input"]: array})[0]


class PlanModel:
    """A TensorRT plan behind Triton's own backend, asked by a request from within the server.

    The clients' requests stay in the Python model in front, and only its own ones reach Triton's batcher: what
    `batcher.py` says of clients that vanish does not arise.
    """

    def __init__(self, model: str, input_name: str, output_name: str) -> None:
        self._model, self._input, self._output = model, input_name, output_name

    def __call__(self, array: np.ndarray) -> np.ndarray:
        """Run it on an array whose first dimension is the batch. Raises RuntimeError with Triton's own words."""
        request = pb_utils.InferenceRequest(
            model_name=self._model,
            requested_output_names=[self._output],
            inputs=[pb_utils.Tensor(self._input, np.ascontiguousarray(array))],
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
        )
        response = request.exec()
        if response.has_error():
            raise RuntimeError(response.error().message())
        # A copy: the tensor's memory goes back to Triton with the response.
        return pb_utils.get_output_tensor_by_name(response, self._output).as_numpy().copy()
