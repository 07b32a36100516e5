"""What clients read of an error: one line that repeats little of what they sent and names no folder of the server."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.formats.errors import (
    AudioTokenizationError,
    CUDAFailureError,
    EngineError,
    MemoryExhaustionError,
    RequestError,
    classify,
    quoted,
    sentence,
)
from runtime.formats.options import OPTIONS
from runtime.formats.speech_plan import SpeechPlan
from runtime.formats.window import Window
from runtime.text.dialogue.dialogue import Recognition
from runtime.text.dialogue.voice_assignment import assign
from runtime.text.languages import resolve
from runtime.text.request_options import parse_options
from runtime.text.text_input import read_text
from tests.text.test_plan_writer import OPTION_LIMITS
from tests.voices.stores import RULES, open_store

MARK = "ẅ"
LONG, CONTROL = MARK * 50_000, f"{MARK}\x00\x07\x1b[31m\r\n\x85\u2028\u202e\ud800{MARK}"
HOSTILE: list[Any] = [LONG, CONTROL, CONTROL * 1000, [LONG], {LONG: CONTROL}, {"a": [LONG] * 9}, 10**4000, -1e300, None]


def refused(ask: Callable[[], object]) -> str:
    with pytest.raises(RequestError) as refusal:
        ask()
    return fit_to_read(sentence(refusal.value))


def fit_to_read(words: str) -> str:
    assert words.count(MARK) <= 200 and words.count("0" * 201) == 0
    assert len(words) <= 1001
    assert not [c for c in words if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    return words


def tries(ask: Callable[[], object]) -> None:
    """Where it is not refused it need not say anything."""
    try:
        ask()
    except RequestError as error:
        fit_to_read(sentence(error))


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("name", [*OPTIONS, "preset", "repetition_penalty", LONG, CONTROL], ids=lambda name: name[:20])
def test_of_options(name: str, value: Any) -> None:
    tries(lambda: parse_options(json.dumps({name: value}), OPTION_LIMITS))


@pytest.mark.parametrize(
    "text", ["{" + LONG, "[" * 100_000, f'"{LONG}"', LONG, CONTROL, "1" * 5000, '{"seed": ' + "9" * 4200 + "}"]
)
def test_of_what_are_no_options(text: str) -> None:
    refused(lambda: parse_options(text, OPTION_LIMITS))


MESSAGES: list[Any] = [
    {LONG: 1, "role": "user"},
    *({"role": value, "content": "Hi."} for value in HOSTILE),
    *({"role": "user", "content": "Hi.", "name": value} for value in HOSTILE),
    *({"role": "user", "content": [{"type": value}]} for value in HOSTILE),
    *({"role": "user", "content": [value]} for value in HOSTILE),
    *({"role": "user", "content": "Hi.", CONTROL: value} for value in HOSTILE),
    *({"role": "scene", "content": value} for value in HOSTILE),
]


@pytest.mark.parametrize("text", [
    LONG, CONTROL, f"<|im_start|>{LONG}\nHi.<|im_end|>", f"<|im_start|>{LONG}",
    f"{LONG}<|generation_instruction_start|>",
    *(json.dumps([message]) for message in MESSAGES),
], ids=lambda text: repr(text)[:50])  # fmt: skip
def test_of_texts(text: str) -> None:
    tries(lambda: read_text(text, 10**9))
    tries(lambda: read_text(text, 100))


@pytest.mark.parametrize("name", [LONG, CONTROL, CONTROL * 1000])
def test_of_speakers_voices_and_languages(name: str, tmp_path: Path) -> None:
    turns = read_text("\n".join(f"{MARK * 40}{a}: Hello." for a in "abcdefghijklmnop"), 10**6, Recognition("on")).turns
    scene, voices = f"SPEAKER0: {name}", open_store((tmp_path, tmp_path))
    for ask in (
        lambda: assign(turns, {name: "slt"}, None, voices, "en"),
        lambda: assign(turns[:1], {turns[0].speaker or "": name}, None, voices, "en"),
        lambda: assign(turns, {}, name, voices, "en", scene),
        lambda: resolve(name, "Hi."),
        lambda: RULES.check_name(name),
        lambda: RULES.parsed_metadata(json.dumps({"language": [name]})[:8000]),
        lambda: RULES.check_metadata({"language": [name]}),
        lambda: RULES.check_metadata({"lexicon": {name: name}}),
        lambda: voices.get(name),
        lambda: voices.remove(name),
    ):
        refused(ask)


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:20])
def test_of_plans_and_windows(value: Any) -> None:
    for text in (
        json.dumps(value),
        json.dumps({"prefixes": value}),
        json.dumps({"count": value, "finish_reason": value}),
    ):
        refused(partial(SpeechPlan.read, text))
        refused(partial(Window.read, np.zeros((8, 1), np.int32), text))


# PyTorch 2.11's, behind every error of CUDA.
HINT = (
    "Search for `cudaErrorAssert' in https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html for more "
    "information.\nCUDA kernel errors might be asynchronously reported at some other API call"
)
FOLDER = "/srv/secret-place/../bundles/cpu/model_repository/lm/1"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), MemoryExhaustionError),
        (RuntimeError(f"failed to allocate 9 bytes for {FOLDER}/weights/lm.onnx\n{CONTROL}"), MemoryExhaustionError),
        (
            RuntimeError("CUDA out of memory. Tried to allocate 2.00 MiB. GPU 0 has a total capacity of 79.18 GiB"),
            MemoryExhaustionError,
        ),
        (RuntimeError(f"CUDA error: out of memory\n{HINT}"), MemoryExhaustionError),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
            MemoryExhaustionError,
        ),
        (RuntimeError(f"CUDA error: device-side assert triggered\n{HINT}"), CUDAFailureError),
        (RuntimeError(f"CUDA error in {FOLDER}/x.cu:12 {LONG}"), CUDAFailureError),
        (ValueError(f"{LONG}{CONTROL} at {FOLDER}/model.py, line 7"), EngineError),
        (FileNotFoundError(2, "No such file or directory", f"{FOLDER}/tokenizer.json"), EngineError),
        (AudioTokenizationError(f"Load model from '{FOLDER}/encoder.onnx' failed\n{CONTROL}"), AudioTokenizationError),
    ],
)
def test_of_what_libraries_say(error: Exception, kind: type[RequestError]) -> None:
    found = classify(error, "reading the text")
    words = sentence(found)
    assert type(found) is kind and words.startswith(f"{kind.__name__}: ")
    assert not any(folder in words for folder in ("srv", "bundles", "model_repository"))
    fit_to_read(words)


def test_what_is_no_folder_stays() -> None:
    for told in ("5 km/h and/or 3/4 of it", "a; b / c", "TCP/IP", "'/etc'", quoted("1/2/2020")):
        assert sentence(EngineError(told)) == f"EngineError: {told}"
