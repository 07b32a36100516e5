"""Stand-in for the bundle's `prompt` model: writes every input it received into a JSON `order` for the LM."""

import json
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

OPTION_KEYS = {
    "preset", "temperature", "top_k", "top_p", "ras_window", "ras_max_repeats", "seed", "max_seconds",
    "max_part_seconds", "first_chunk_seconds", "chunk_growth", "max_chunk_seconds", "timeout_seconds", "language",
    "system", "scene", "speakers", "dialogue", "chunk_method", "chunk_words", "context_parts", "dialogue_context",
    "pause_seconds", "paragraph_pause_seconds", "runaway_guard", "max_retries", "hold_parts",
}  # fmt: skip


def text_of(request: Any, name: str) -> str | None:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else str(tensor.as_numpy()[0].decode())


class TritonPythonModel:
    def execute(self, requests: list[Any]) -> list[Any]:
        return [self.answer(request) for request in requests]

    def answer(self, request: Any) -> Any:
        options = json.loads(text_of(request, "options") or "{}")
        unknown = options.keys() - OPTION_KEYS
        if unknown or "prompt_error" in (text_of(request, "text") or ""):
            error = pb_utils.TritonError(f"InvalidRequestError: unknown option {sorted(unknown)}.")
            return pb_utils.InferenceResponse(error=error)
        reference = pb_utils.get_input_tensor_by_name(request, "reference_audio")
        samples = np.zeros(0, np.float32) if reference is None else reference.as_numpy()
        order = {
            "text": text_of(request, "text"),
            "voice": text_of(request, "voice"),
            "reference_text": text_of(request, "reference_text"),
            "options": options,
        }
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor("order", np.array([json.dumps(order).encode()], dtype=object)),
                pb_utils.Tensor("reference", samples),
            ]
        )
