"""Stand-in for the bundle's `pcm` model: hands the LM's samples out under the ensemble's output names.

A fault of the LM travels here as data and becomes an error: an error response of a decoupled model inside an
ensemble would leave Triton with an inference that never ends.
"""

from typing import Any

import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

NAMES = {
    "samples": "audio",
    "start": "start_sample",
    "part_number": "part",
    "who": "speaker",
    "reason": "finish_reason",
    "about": "report",
    "words": "said",
}


def given(request: Any, name: str) -> NDArray[Any]:
    """An input's values."""
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    assert tensor is not None
    return tensor.as_numpy()


class TritonPythonModel:
    def execute(self, requests: list[Any]) -> list[Any]:
        return [self.answer(request) for request in requests]

    def answer(self, request: Any) -> Any:
        fault = given(request, "fault")[0].decode()
        if fault:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(fault))
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(after, given(request, before)) for before, after in NAMES.items()]
        )
