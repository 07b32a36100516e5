"""Triton model `lm`: one in-flight batch for all streams; codes leave in windows the codec can decode on their own.

in:  input_ids int32 [positions], reference_codes int32 [num_codebooks, frames], parameters (JSON); or control
     ("cancel" or "watch") alone, under the request id of the stream it means
out: codes int32 [1, num_codebooks, frames], context / count int32 [1] (frames before, and of, the new ones),
     start_frame int64 [1], finish_reason (on the last response), fault (on the last response of a failed stream)
"""

from __future__ import annotations

import os
import threading
from typing import Any
from uuid import uuid4

import numpy as np
import torch

from common import tensors
from common.errors import RequestError
from common.metrics import Refusals
from control import Controls
from delivery import Delivery, Stream
from engine.contract import Event
from engine.errors import EngineError, InvalidRequestError, classify
from engine.loader import start_engine
from engine.types import FinishReason, FrameWindow, Limits, ModelDescription
from incoming import engine_request
from metrics import EngineMetrics

_METRICS_SECONDS = 0.25


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        settings = tensors.settings(args)
        torch.set_num_threads(1)  # sampling is many small operations; a second thread only takes a core from the model
        os.nice(settings["nice"])
        limits = Limits(**settings["limits"])
        weights = tensors.version_directory(args) / "weights"
        self._model = ModelDescription.read(weights / "lm.json")
        self._engine = start_engine(settings, weights, limits)
        self._metrics = EngineMetrics(self._engine.stats())
        self._refusals = Refusals("lm")
        self._delivery = Delivery(self._metrics, self._model.layout, settings["frame_seconds"])
        self._controls = Controls(self._engine)
        self._closing = threading.Event()
        self._publisher = threading.Thread(target=self._publish, name="metrics", daemon=True)
        self._publisher.start()

    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            sender = request.get_response_sender()
            try:
                control = tensors.text(request, "control")
                if control is None:
                    self._generate(request, sender)
                else:
                    self._control(control, request.request_id(), sender)
            except Exception as error:
                refusal = error if isinstance(error, RequestError) else classify(error)
                self._refusals.count(refusal)
                Stream(sender, self._delivery).refuse(refusal)

    def finalize(self) -> None:
        self._controls.close()
        self._engine.close()
        self._delivery.close()
        self._closing.set()
        self._publisher.join()

    def _generate(self, request: Any, sender: Any) -> None:
        request_id = request.request_id() or uuid4().hex
        ids = tensors.array(request, "input_ids")
        codes = tensors.array(request, "reference_codes")
        parameters = tensors.text(request, "parameters")
        if ids is None or codes is None or parameters is None:
            raise InvalidRequestError("input_ids, reference_codes and parameters belong together; one is missing")
        stream = Stream(sender, self._delivery)
        order = engine_request(request_id, ids, codes, parameters, self._model)

        def on_event(event: Event) -> None:
            stream.on_event(event)
            if isinstance(event, EngineError) or event.finish_reason is not None:
                self._controls.stream_ended(request_id)

        if not self._controls.stream_begins(request_id):
            nothing = np.zeros((self._model.layout.num_codebooks, 0), np.int32)
            on_event(FrameWindow(0, nothing, 0, 0, 0, FinishReason.CANCELLED))
            return
        try:
            self._engine.submit(order, on_event)
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

    def _publish(self) -> None:
        while not self._closing.wait(_METRICS_SECONDS):
            self._metrics.follow(self._engine.stats())
