"""A TensorRT plan behind Triton's own backend, called by a request from within the server.

The clients' requests stay in the Python model in front, and only that model's own requests reach Triton's batcher: the
problem with vanished clients that `batcher.py` describes does not arise.
"""

from __future__ import annotations

import numpy as np
import triton_python_backend_utils as pb_utils


class PlanModel:
    """A Triton model with one input and one output, as a function from array to array. Safe on any thread.

    Args:
        model: its name.
        input_name: name of its input tensor, whose first dimension is the batch.
        output_name: name of its output tensor.
    """

    def __init__(self, model: str, input_name: str, output_name: str) -> None:
        self._model, self._input, self._output = model, input_name, output_name

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Raises RuntimeError with Triton's message."""
        request = pb_utils.InferenceRequest(
            model_name=self._model,
            requested_output_names=[self._output],
            inputs=[pb_utils.Tensor(self._input, np.ascontiguousarray(values))],
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
        )
        response = request.exec()
        if response.has_error():
            raise RuntimeError(response.error().message())
        # Copy: the tensor's memory goes back to Triton with the response.
        return pb_utils.get_output_tensor_by_name(response, self._output).as_numpy().copy()
