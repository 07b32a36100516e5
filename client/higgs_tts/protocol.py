"""The server's contract on the wire: model and tensor names, requests, responses. Sends nothing itself."""

import json
import struct
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferResult, service_pb2

from .speech import AudioChunk, SpeechReport
from .words import PartText

ENSEMBLE = "higgs_audio_v2"
LM = "lm"
VOICES = "voices"
OUTPUTS = {"audio", "start_sample", "part", "speaker", "finish_reason", "report", "said"}
CANCEL = "cancel"  # end this generation now
WATCH = "watch"  # stay open as long as this generation; if the connection breaks, end it
APPEND, FLUSH, END = "append", "flush", "end"  # more text; speak what is there; there will be no more


# A text, or a conversation as chat clients send it: [{"role": …, "content": …}, …].
Text = str | Sequence[Mapping[str, Any]]


def new_request_id() -> str:
    """An id that no other request has."""
    return uuid.uuid4().hex


def speech_request(
    request_id: str,
    text: Text,
    voice: str | None,
    reference_audio: NDArray[np.float32] | None,
    reference_text: str | None,
    options: Mapping[str, Any] | None,
    growing: bool = False,
) -> Any:
    """A `ModelInferRequest` for the ensemble. reference_audio: [n] at the server's rate. growing: text will follow."""
    strings = {
        "text": text if isinstance(text, str) else json.dumps(list(text), ensure_ascii=False),
        "voice": voice,
        "reference_text": reference_text,
        "options": json.dumps(options, ensure_ascii=False) if options else None,
    }
    request = _request(ENSEMBLE, request_id, strings, reference_audio=reference_audio)
    if growing:
        _add_tensor(request, "growing", "BOOL", 1, b"\1")
    return request


def control_request(request_id: str, word: str, text: str | None = None) -> Any:
    """A `ModelInferRequest` directly to the LM, about the generation that runs under `request_id`, or its text."""
    return _request(LM, request_id, {"control": word, "text": text})


def voices_request(
    command: str, *, audio: NDArray[np.float32] | None = None, replace: bool = False, **strings: str | None
) -> Any:
    """A `ModelInferRequest` about voice profiles: list, show, add or remove, by name, transcript and metadata."""
    request = _request(VOICES, new_request_id(), {"command": command, **strings}, audio=audio)
    if replace:
        _add_tensor(request, "replace", "BOOL", 1, b"\1")
    return request


def read_chunk(response: Any, sample_rate: int) -> AudioChunk | None:
    """The audio of one `ModelStreamInferResponse`; None when it carries only the end of the stream.

    Raises ValueError for any other response.
    """
    names = {output.name for output in response.infer_response.outputs}
    if not names:
        return None
    if not names >= OUTPUTS:
        raise ValueError(f"a response has the outputs {sorted(names)} instead of {sorted(OUTPUTS)}")
    result = InferResult(response.infer_response)
    speaker, finish_reason, report, said = (
        result.as_numpy(name).item().decode() or None for name in ("speaker", "finish_reason", "report", "said")
    )
    return AudioChunk(
        samples=result.as_numpy("audio").astype(np.float32).reshape(-1),
        start_sample=int(result.as_numpy("start_sample").item()),
        sample_rate=sample_rate,
        finish_reason=finish_reason,
        received_at=time.monotonic(),
        speaker=speaker,
        part=int(result.as_numpy("part").item()),
        report=SpeechReport.read(report) if report else None,
        said=PartText.read(said) if said else None,
    )


def is_of_speech(response: Any) -> bool:
    """Whether this `ModelStreamInferResponse` answers a request for speech, and not a control request."""
    return response.infer_response.model_name != LM


def is_final(response: Any) -> bool:
    """Whether this `ModelStreamInferResponse` ends its request."""
    return bool(response.infer_response.parameters["triton_final_response"].bool_param)


def _request(
    model: str, request_id: str, strings: Mapping[str, str | None], **audio: NDArray[np.float32] | None
) -> Any:
    """A request with those values that are not None."""
    request = service_pb2.ModelInferRequest(model_name=model, id=request_id)
    # Without it Triton swallows an end that carries no data, and the stream ends unseen.
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    for name, value in strings.items():
        if value is not None:
            data = value.encode()
            _add_tensor(request, name, "BYTES", 1, struct.pack("<I", len(data)) + data)
    for name, samples in audio.items():
        if samples is not None:
            _add_tensor(request, name, "FP32", samples.size, samples.astype("<f4").tobytes())
    return request


def _add_tensor(request: Any, name: str, datatype: str, size: int, content: bytes) -> None:
    request.inputs.add(name=name, datatype=datatype, shape=[size])
    request.raw_input_contents.append(content)
