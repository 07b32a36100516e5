"""Stand-in for the bundle's `voices` model: keeps what it is given in memory, and refuses as the bundle's does."""

import json
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

CODES = np.arange(16, dtype=np.int32).reshape(8, 2)
BUNDLED = {
    "name": "slt",
    "origin": "bundle",
    "audio_path": "slt.wav",
    "seconds": 1.0,
    "transcript": "la",
    "metadata": {},
}


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self.voices = {"slt": (BUNDLED, np.full(24000, 0.25, np.float32))}

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self.answer(request) for request in requests]

    def answer(self, request: Any) -> Any:
        command, name = text(request, "command"), text(request, "name")
        if command == "list":
            return response({"voices": [self.voices[known][0] for known in sorted(self.voices)]})
        if command == "add":
            return self.add(request, name)
        if name not in self.voices:
            return refusal(f"voice {name!r} is unknown")
        profile, samples = self.voices[name]
        if command == "show":
            return response(profile, samples, CODES if name == "slt" else None)
        if profile["origin"] == "bundle":
            return refusal(f"voice {name!r} belongs to the bundle and cannot be removed")
        del self.voices[name]
        return response({"name": name})

    def add(self, request: Any, name: str) -> Any:
        replace = pb_utils.get_input_tensor_by_name(request, "replace")
        if name in self.voices and not (replace is not None and replace.as_numpy()[0]):
            return refusal(f"voice {name!r} exists")
        if name == "full":
            return refusal("No space left on device", "StateError")
        audio = pb_utils.get_input_tensor_by_name(request, "audio")
        samples = np.zeros(0, np.float32) if audio is None else audio.as_numpy().copy()
        profile = {
            "name": name,
            "origin": "added",
            "audio_path": f"{name}.wav" if samples.size else None,
            "seconds": len(samples) / 24000,
            "transcript": text(request, "transcript"),
            "metadata": json.loads(text(request, "metadata") or "{}"),
        }
        self.voices[name] = (profile, samples)
        return response(profile)


def text(request: Any, name: str) -> str:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return "" if tensor is None else str(tensor.as_numpy()[0].decode())


def refusal(sentence: str, error: str = "InvalidRequestError") -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"{error}: {sentence}"))


def response(result: dict[str, Any], samples: Any = None, codes: Any = None) -> Any:
    return pb_utils.InferenceResponse(
        [
            pb_utils.Tensor("result", np.array([json.dumps(result).encode()], dtype=object)),
            pb_utils.Tensor("audio", np.zeros(0, np.float32) if samples is None else samples),
            pb_utils.Tensor("embedding", np.zeros((8, 0), np.int32) if codes is None else codes),
        ]
    )
