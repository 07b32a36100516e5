"""Talking to single Triton models of the ensemble, below the client.

The inner models take only what is signed with their server's key: have it in HIGGS_SIGNING_KEY, here and where the
server is started.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import uuid4

import numpy as np
import tritonclient.grpc as triton

from runtime.formats.part_text import PartText
from runtime.formats.signing import Seal
from runtime.formats.speech_plan import PlannedPart, RunawayGuard, SamplingParameters, SpeechPlan, WindowPlan
from runtime.formats.window import Window

_TYPES = {np.dtype(np.int32): "INT32", np.dtype(np.float32): "FP32"}


def _inputs(values: dict[str, Any]) -> list[triton.InferInput]:
    inputs = []
    for name, value in values.items():
        array = np.array([value.encode()], dtype=object) if isinstance(value, str) else np.asarray(value)
        tensor = triton.InferInput(name, list(array.shape), _TYPES.get(array.dtype, "BYTES"))
        tensor.set_data_from_numpy(array)
        inputs.append(tensor)
    return inputs


def signed(model: str, values: dict[str, Any], request_id: str) -> dict[str, Any]:
    """The values with the signatures that the model asks for, as if the model before it had written them."""
    seal = Seal.from_environment()
    if model == "codec_encoder":
        names = ("reference_samples", "reference_lengths", "known_codes", "known_frames", "deadline")
        clips = [values[name] for name in names if name in values]
        return values | {"clips_signature": seal.sealed("clips", "", request_id, *clips)}
    if model == "lm" and "plan" in values:
        codes = seal.sealed("codes", "", request_id, values["reference_codes"], values["reference_frames"])
        return values | {"plan": seal.sealed("speech plan", values["plan"], request_id), "codes_signature": codes}
    if model == "codec_decoder":
        return values | {"window": seal.sealed("window", values["window"], values["codes"])}
    return values


def infer(url: str, model: str, values: dict[str, Any], outputs: list[str]) -> dict[str, np.ndarray]:
    """One answer of a model that gives one."""
    with triton.InferenceServerClient(url) as client:
        result = client.infer(model, _inputs(signed(model, values, "")))
        return {name: result.as_numpy(name) for name in outputs}


def stream(
    url: str, model: str, values: dict[str, Any], outputs: list[str], request_id: str | None = None
) -> list[dict[str, np.ndarray]]:
    """Every answer of a decoupled model. Raises triton.InferenceServerException for an error."""
    events: queue.SimpleQueue[Any] = queue.SimpleQueue()
    answers = []
    request_id = request_id or uuid4().hex
    with triton.InferenceServerClient(url) as client:
        client.start_stream(lambda result, error: events.put(error or result))
        client.async_stream_infer(
            model,
            _inputs(signed(model, values, request_id)),
            request_id=request_id,
            enable_empty_final_response=True,
        )
        while True:
            event = events.get(timeout=60)
            if isinstance(event, Exception):
                raise event
            if len(event.get_response().outputs):
                answers.append({name: event.as_numpy(name) for name in outputs})
            if event.get_response().parameters["triton_final_response"].bool_param:
                return answers


def one_part(ids: Sequence[int], sampling: SamplingParameters, windows: WindowPlan, max_frames: int) -> SpeechPlan:
    """A plan of a single part: a prompt's token ids, the last of which is the part's own."""
    prefix, own = tuple(map(int, ids[:-1])), tuple(map(int, ids[-1:]))
    part = PlannedPart(
        "",
        "",
        PartText("", 0, 0, 0.0, ()),
        0,
        own,
        cloned=True,
        pause=0,
        max_frames=max_frames,
        expected_frames=max_frames,
        least_frames=0,
        guard=RunawayGuard(),
    )
    now = time.monotonic()
    return SpeechPlan(
        (prefix,),
        (),
        (part,),
        sampling,
        windows,
        max_frames,
        60.0,
        now,
        0,
        0,
        hold_parts=False,
        fallback_modes=True,
        text_timeout=0.0,
        about={},
    )


def whole_window(codes: np.ndarray) -> str:
    """What goes with codes int [1, num_codebooks, frames], the whole of a stream of their own."""
    return Window(codes[0], 0, codes.shape[-1], stream=uuid4().hex).write()


def written(answer: dict[str, np.ndarray]) -> SpeechPlan:
    """The plan among the answers of the `prompt` model."""
    return SpeechPlan.read(Seal.from_environment().opened("speech plan", answer["plan"][0].decode(), ""))


def first_prompt(plan: SpeechPlan) -> np.ndarray:
    """What the model reads before it speaks the first part, int32 [positions]; a clip is one token."""
    part = plan.parts[0]
    return np.array([*plan.prefixes[part.prefix], *part.ids], np.int32)


def codes_of(url: str, plan: SpeechPlan | str, clip: np.ndarray) -> tuple[np.ndarray, str]:
    """Generate with the `lm` model alone: int32 [num_codebooks, frames] and the finish reason.

    clip: int32 [num_codebooks, frames], possibly none.
    """
    frames = np.array([clip.shape[1]] if clip.size else [], np.int32)
    text = plan if isinstance(plan, str) else replace(plan, arrived=time.monotonic()).write()
    answers = stream(
        url, "lm", {"plan": text, "reference_codes": clip, "reference_frames": frames}, ["codes", "window"]
    )
    opened = partial(Seal.from_environment().opened, "window")
    windows = [
        Window.read(answer["codes"][0], opened(answer["window"][0].decode(), answer["codes"])) for answer in answers
    ]
    pieces = [window.codes[:, window.context : window.context + window.count] for window in windows]
    return np.concatenate(pieces, axis=1), windows[-1].finish_reason or ""
