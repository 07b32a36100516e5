"""Triton model `voices`: lists, shows, adds and removes voice profiles while the server speaks.

in:  command (list, show, add, remove), name?, audio? float32 [samples] at the codec's rate, transcript?,
     metadata? (JSON), replace? (bool: add may take the place of an added voice)
out: result (JSON: {"voices": […]} for list, otherwise the one profile), and for show
     audio float32 [samples] and embedding int32 [num_codebooks, frames]: the clip's codes, once a request has used it
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from runtime.formats.errors import InvalidRequestError, classify, quoted
from runtime.triton import tensors
from runtime.triton.beat import Work, beat
from runtime.triton.metrics import Refusals
from runtime.voices.store import VoiceStore


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        settings = tensors.settings(args)
        self._store = VoiceStore.open(tensors.version_directory(args) / "voices", settings)
        self._store.sweep()
        self._no_codes = np.zeros((settings["num_codebooks"], 0), np.int32)
        self._commands = {"list": self._list, "show": self._show, "add": self._add, "remove": self._remove}
        self._refusals = Refusals("voices")
        self._work = Work()
        beat("voices", self._work.last_progress)

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        try:
            with self._work:
                return self._command(request)(request)
        except Exception as error:
            refusal = classify(error, "looking after the voices")
            self._refusals.count(refusal)
            return tensors.refusal(refusal)

    def _command(self, request: Any) -> Callable[[Any], Any]:
        command = tensors.text(request, "command") or ""
        if command not in self._commands:
            raise InvalidRequestError(f"command {quoted(command)} is unknown; there are {', '.join(self._commands)}")
        return self._commands[command]

    def _list(self, request: Any) -> Any:
        return self._response({"voices": [profile.summary() for profile in self._store.profiles()]})

    def _show(self, request: Any) -> Any:
        profile, samples = self._store.show(_name(request))
        return self._response(profile.summary(), samples, profile.embedding)

    def _add(self, request: Any) -> Any:
        replacing = tensors.array(request, "replace")
        profile = self._store.add(
            _name(request),
            tensors.array(request, "audio"),
            tensors.text(request, "transcript") or "",
            self._store.rules.parsed_metadata(tensors.text(request, "metadata")),
            replacing=replacing is not None and bool(replacing.any()),
        )
        return self._response(profile.summary())

    def _remove(self, request: Any) -> Any:
        name = _name(request)
        self._store.remove(name)
        return self._response({"name": name})

    def _response(
        self, result: dict[str, Any], samples: np.ndarray | None = None, codes: np.ndarray | None = None
    ) -> Any:
        return pb_utils.InferenceResponse(
            [
                tensors.string_tensor("result", json.dumps(result, ensure_ascii=False)),
                tensors.tensor("audio", np.zeros(0) if samples is None else samples, np.float32),
                tensors.tensor("embedding", self._no_codes if codes is None else codes, np.int32),
            ]
        )


def _name(request: Any) -> str:
    name = tensors.text(request, "name")
    if not name:
        raise InvalidRequestError("name is missing; give the name of a voice")
    return name
