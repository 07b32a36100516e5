"""Talking to single Triton models of the ensemble, below the client."""

from __future__ import annotations

import json
import queue
import urllib.request
from typing import Any
from uuid import uuid4

import numpy as np
import tritonclient.grpc as triton

_TYPES = {np.dtype(np.int32): "INT32", np.dtype(np.float32): "FP32"}


def _inputs(values: dict[str, Any]) -> list[triton.InferInput]:
    inputs = []
    for name, value in values.items():
        array = np.array([value.encode()], dtype=object) if isinstance(value, str) else np.asarray(value)
        tensor = triton.InferInput(name, list(array.shape), _TYPES.get(array.dtype, "BYTES"))
        tensor.set_data_from_numpy(array)
        inputs.append(tensor)
    return inputs


def infer(url: str, model: str, values: dict[str, Any], outputs: list[str]) -> dict[str, np.ndarray]:
    """One answer of a model that gives one."""
    with triton.InferenceServerClient(url) as client:
        result = client.infer(model, _inputs(values))
        return {name: result.as_numpy(name) for name in outputs}


def stream(
    url: str, model: str, values: dict[str, Any], outputs: list[str], request_id: str | None = None
) -> list[dict[str, np.ndarray]]:
    """Every answer of a decoupled model. Raises triton.InferenceServerException for an error."""
    events: queue.SimpleQueue[Any] = queue.SimpleQueue()
    answers = []
    with triton.InferenceServerClient(url) as client:
        client.start_stream(lambda result, error: events.put(error or result))
        client.async_stream_infer(
            model, _inputs(values), request_id=request_id or uuid4().hex, enable_empty_final_response=True
        )
        while True:
            event = events.get(timeout=60)
            if isinstance(event, Exception):
                raise event
            if len(event.get_response().outputs):
                answers.append({name: event.as_numpy(name) for name in outputs})
            if event.get_response().parameters["triton_final_response"].bool_param:
                return answers


def one_part(ids: np.ndarray, parameters: dict[str, Any]) -> dict[str, Any]:
    """A script of a single part: a prompt's ids, and `sampling`, `windows`, `max_frames` and `timeout`."""
    part = {
        "speaker": "",
        "text": "",
        "prefix": 0,
        "positions": 1,
        "cloned": True,
        "pause": 0,
        "max_frames": parameters["max_frames"],
        "least_frames": 0,
        "guard": {},
    }
    return {
        "prefixes": [len(ids) - 1],
        "closing": [],
        "parts": [part],
        "context_parts": 0,
        "max_retries": 0,
        "hold_parts": False,
        "about": {},
        **parameters,
    }


def codes_of(url: str, ids: np.ndarray, clip: np.ndarray, script: dict[str, Any] | str) -> tuple[np.ndarray, str]:
    """Generate with the `lm` model alone: int32 [num_codebooks, frames] and the finish reason.

    script: JSON of the prompt stage, or what `one_part` takes. clip: int32 [num_codebooks, frames], possibly none.
    """
    text = script if isinstance(script, str) else json.dumps(one_part(ids, script))
    frames = np.array([clip.shape[1]] if clip.size else [], np.int32)
    values = {"input_ids": ids, "reference_codes": clip, "reference_frames": frames, "script": text}
    windows = stream(url, "lm", values, ["codes", "context", "count", "finish_reason"])
    pieces = [w["codes"][0, :, int(w["context"][0]) :][:, : int(w["count"][0])] for w in windows]
    return np.concatenate(pieces, axis=1), windows[-1]["finish_reason"][0].decode()


def metrics(url: str) -> dict[str, float]:
    """Triton's metrics page, by name with labels."""
    with urllib.request.urlopen(f"http://{url}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}
