"""Triton model `lm`: one in-flight batch for all streams; sends codes in windows that decode independently.

in:  plan (JSON), reference_codes int32 [num_codebooks, frames], reference_frames int32 [clips], as
     `formats/speech_plan.py` describes them; or control ("cancel" or "watch") alone, under the stream's request id
out: codes int32 [1, num_codebooks, frames] and window (JSON), as `formats/window.py` describes them
"""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from typing import Any
from uuid import uuid4

import torch

from runtime.engine.loader import start_engine
from runtime.engine.types import Limits, ModelDescription
from runtime.formats.errors import InvalidRequestError, RequestError, classify, require
from runtime.formats.speech_plan import SpeechPlan
from runtime.speech.context import ContextLimits
from runtime.speech.prompts import read_prefixes
from runtime.speech.speech_stream import SpeechStream
from runtime.triton import tensors
from runtime.triton.beat import beat
from runtime.triton.cancelling import Controls
from runtime.triton.delivery import Delivery, Responses
from runtime.triton.metrics import LmMetrics, Refusals

_METRICS_SECONDS = 0.25
_LONGEST_ID = 256


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        settings = tensors.settings(args)
        torch.set_num_threads(1)  # sampling is many small operations; a second thread only takes a core from the model
        os.nice(settings["nice"])
        limits = Limits(**settings["limits"])
        weights = tensors.version_directory(args) / "weights"
        self._model = ModelDescription.read(weights / ModelDescription.FILE)
        self._engine = start_engine(settings, weights, limits)
        self._metrics = LmMetrics(self._engine.stats())
        self._refusals = Refusals("lm")
        self._frame_seconds: float = settings["frame_seconds"]
        self._context_limits = ContextLimits(limits.max_positions, settings["max_prompt_audio_positions"])
        self._max_window_frames: int = settings["max_window_frames"]
        self._max_timeout: float = settings["max_timeout_seconds"]
        self._delivery = Delivery()
        self._controls = Controls(most_watches=2 * (limits.max_streams + limits.max_waiting))
        self._closing = threading.Event()
        self._publisher = threading.Thread(target=self._publish, name="metrics", daemon=True)
        self._publisher.start()
        self._moved = time.monotonic()
        self._seen = self._engine.stats()
        beat("lm", self._last_progress)

    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            sender = request.get_response_sender()
            try:
                require(len(request.request_id()) <= _LONGEST_ID, "the request id", request.request_id())
                control = tensors.text(request, "control")
                if control is None:
                    self._speak(request, sender)
                else:
                    self._control(control, request.request_id(), sender)
            except Exception as error:
                refusal = error if isinstance(error, RequestError) else classify(error)
                self._refusals.count(refusal)
                tensors.refuse(sender, refusal)

    def finalize(self) -> None:
        self._controls.close()
        self._engine.close()
        self._delivery.close()
        self._closing.set()
        self._publisher.join()

    def _speak(self, request: Any, sender: Any) -> None:
        request_id = request.request_id() or uuid4().hex
        codes, frames = (tensors.array(request, name) for name in ("reference_codes", "reference_frames"))
        written = tensors.text(request, "plan")
        if codes is None or frames is None or written is None:
            raise InvalidRequestError("plan, reference_codes and reference_frames belong together; one is missing")
        plan, layout = SpeechPlan.read(written), self._model.layout
        require(plan.timeout <= self._max_timeout, "timeout", plan.timeout)
        require(plan.windows.maximum <= self._max_window_frames, "maximum", plan.windows.maximum)
        ended = partial(self._controls.stream_ended, request_id)
        responses = Responses(request_id, sender, self._metrics, layout, self._frame_seconds, ended)
        stream = SpeechStream(
            request_id,
            plan,
            read_prefixes(plan, codes, frames, self._model),
            self._engine,
            layout,
            self._context_limits,
            self._frame_seconds,
            responses.send,
            self._delivery.put,
        )
        if not self._controls.stream_begins(request_id, stream.cancel):
            stream.end_unheard()
            return
        try:
            stream.start()
        except BaseException:
            self._controls.stream_ended(request_id)
            raise

    def _control(self, control: str, request_id: str, sender: Any) -> None:
        if not request_id:
            raise InvalidRequestError(f"control {control!r} needs the request id of the stream it means")
        if control == "cancel":
            self._controls.cancel(request_id, sender)
        elif control == "watch":
            self._controls.watch(request_id, sender)
        else:
            raise InvalidRequestError(f"control {control!r} is unknown; there are cancel and watch")

    def _last_progress(self) -> float:
        """When the engine last ended a step; now, while it has none to do. Needs the engine's lock."""
        stats, seen = self._engine.stats(), self._seen
        if stats.steps != seen.steps or stats.busy_seconds == seen.busy_seconds:
            self._moved = time.monotonic()
        self._seen = stats
        return self._moved

    def _publish(self) -> None:
        while not self._closing.wait(_METRICS_SECONDS):
            self._metrics.follow(self._engine.stats())
