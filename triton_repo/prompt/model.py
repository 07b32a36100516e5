"""Triton model `prompt`: checks a request and turns it into what the next stages need, before it costs anything.

in:  text, voice?, reference_audio?, reference_text?, options?
out: input_ids int32 [positions], reference_samples float32 [samples] (whole codec frames; empty without a reference),
     parameters (JSON in the engine's units)
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from chatml import PromptEncoder, Turn
from common import tensors
from common.errors import InvalidRequestError, RequestError, sentence
from common.metrics import Refusals
from common.reference import ReferenceLimits
from common.voice_profile import check_plain
from common.voice_store import VoiceStore
from normalization import normalize
from options import OptionLimits, engine_parameters, parse_options


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        settings = tensors.settings(args)
        directory = tensors.version_directory(args)
        self._references = ReferenceLimits(**settings["reference"])
        self._voices = VoiceStore.open(directory / "voices", settings)
        self._encoder = PromptEncoder(directory / "tokenizer.json")
        self._options = OptionLimits(**settings["options"])
        self._max_characters: int = settings["max_characters"]
        self._max_positions: int = settings["max_positions"]
        self._positions_beside_clip: int = settings["positions_beside_clip"]
        self._refusals = Refusals("prompt")

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        try:
            return self._prompt(request)
        except RequestError as error:
            self._refusals.count(error)
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(sentence(error)))

    def _prompt(self, request: Any) -> Any:
        text = self._speakable(tensors.text(request, "text"), "text")
        params = parse_options(tensors.text(request, "options"), self._options)
        check_plain(params.scene, "scene")
        clip, words, described = self._reference(request)
        turns = () if clip is None else (Turn(words),)
        scene = "\n\n".join(part for part in (params.scene.strip(), described) if part)
        ids = self._encoder.encode(text, scene, turns)
        self._check_length(ids, clip)
        frame_rate = self._references.sample_rate / self._references.hop_length
        parameters = json.dumps(engine_parameters(params, frame_rate))
        samples = np.zeros(0, np.float32) if clip is None else clip
        return pb_utils.InferenceResponse(
            [
                tensors.tensor("input_ids", ids, np.int32),
                tensors.tensor("reference_samples", samples, np.float32),
                tensors.string_tensor("parameters", parameters),
            ]
        )

    def _speakable(self, text: str | None, name: str) -> str:
        """Normalised text with something to say, or InvalidRequestError."""
        if text is None or not text.strip():
            raise InvalidRequestError(f"{name} is empty; there is nothing to say")
        if len(text) > self._max_characters:
            raise InvalidRequestError(f"{name} has {len(text)} characters; at most {self._max_characters} are allowed")
        check_plain(text, name)
        normalized = normalize(text)
        if not any(c.isalnum() for c in normalized):
            raise InvalidRequestError(f"{name} holds no letter or digit; there is nothing to say")
        return normalized

    def _reference(self, request: Any) -> tuple[np.ndarray | None, str, str]:
        """The clip to imitate and its words, from the request or from a voice profile; or what a voice is like."""
        voice = tensors.text(request, "voice")
        samples = tensors.array(request, "reference_audio")
        words = tensors.text(request, "reference_text")
        if voice and samples is not None:
            raise InvalidRequestError("voice and reference_audio exclude each other; send one of them")
        if samples is not None:
            if not words or not words.strip():
                raise InvalidRequestError("reference_audio needs reference_text, the words it says")
            return self._references.checked(samples), self._speakable(words, "reference_text"), ""
        if words:
            raise InvalidRequestError("reference_text comes with reference_audio only")
        if voice:
            profile, samples = self._voices.load(voice)
            if profile.description:
                return None, "", f"SPEAKER0: {profile.description}"
            return self._references.checked(samples), self._speakable(profile.transcript, "transcript"), ""
        return None, "", ""

    def _check_length(self, ids: np.ndarray, clip: np.ndarray | None) -> None:
        frames = 0 if clip is None else len(clip) // self._references.hop_length
        positions = len(ids) + (frames + self._positions_beside_clip if frames else 0)
        second = round(self._references.sample_rate / self._references.hop_length)
        if positions + second > self._max_positions:
            raise InvalidRequestError(
                f"text and reference take {positions} positions, which leaves less than a second of speech within "
                f"the engine's {self._max_positions}; shorten them"
            )
