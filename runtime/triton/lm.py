"""Triton model `lm`: one in-flight batch for all streams; sends codes in windows that decode independently.

in:  plan (JSON), reference_codes int32 [num_codebooks, frames], reference_frames int32 [clips], as
     `formats/speech_plan.py` describes them, and codes_signature over the last two (`formats/signing.py`); or control
     alone, under the stream's request id: "cancel" or "watch", or, for `prompt`, "append" with a text, "flush" or "end"
out: codes int32 [1, num_codebooks, frames] and window (JSON), as `formats/window.py` describes them

Plan and window begin with their signatures.
"""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from typing import Any
from uuid import uuid4

import torch
import triton_python_backend_utils as pb_utils

from runtime.engine.loader import start_engine
from runtime.engine.types import Limits, ModelDescription
from runtime.formats.errors import InvalidRequestError, classify, quoted, require
from runtime.formats.speech_plan import SpeechPlan
from runtime.formats.stream_ids import is_secret
from runtime.speech.context import ContextLimits
from runtime.speech.growing_stream import GrowingStream
from runtime.speech.prompts import read_prefixes
from runtime.speech.speech_stream import SpeechStream
from runtime.triton import tensors
from runtime.triton.beat import beat
from runtime.triton.cancelling import Controls
from runtime.triton.delivery import Delivery, Responses
from runtime.triton.farewell import end_process
from runtime.triton.flow import Flow
from runtime.triton.growing_streams import GrowingStreams
from runtime.triton.growing_texts import TEXT_CONTROLS, TextSender
from runtime.triton.memory import Memory
from runtime.triton.metrics import LmMetrics, Refusals
from runtime.triton.notes import Note, NoteSender
from runtime.triton.threads import LM_VARIABLE, threads

_METRICS_SECONDS = 0.25
_LONGEST_ID = 256


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        settings = tensors.settings(args)
        for kind in ("threads", "text_threads"):
            settings[kind] = threads(LM_VARIABLE, settings[kind])
        torch.set_num_threads(1)  # sampling is many small operations; a second thread only takes a core from the model
        os.nice(settings["nice"])
        limits = Limits(**settings["limits"], frame_seconds=settings["frame_seconds"])
        weights = tensors.version_directory(args) / "weights"
        self._model = ModelDescription.read(weights / ModelDescription.FILE)
        self._engine = start_engine(settings, weights, limits)
        self._metrics = LmMetrics(self._engine.stats())
        self._refusals = Refusals("lm")
        self._seal = tensors.seal(args)
        self._frame_seconds: float = settings["frame_seconds"]
        self._max_clip_frames: int = settings["max_prompt_audio_positions"]
        self._context_limits = ContextLimits(limits.max_positions, self._max_clip_frames)
        self._max_window_frames: int = settings["max_window_frames"]
        self._max_timeout: float = settings["max_timeout_seconds"]
        self._delivery = Delivery()
        self._flow = Flow(self._engine, self._frame_seconds, self._metrics.first_audio)
        self._encoder, self._prompt = NoteSender("codec_encoder"), NoteSender("prompt")
        self._memory = Memory()
        self._controls = Controls(most_watches=2 * (limits.max_streams + limits.max_waiting), given_up=self._given_up)
        self._growing = GrowingStreams(limits.max_streams + limits.max_waiting)
        self._texts = TextSender()
        self._closing = threading.Event()
        self._published = time.monotonic()
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
                    self._control(control, request, sender)
            except Exception as error:
                refusal = classify(error)
                self._refusals.count(refusal)
                tensors.refuse(sender, refusal)

    def finalize(self) -> None:
        self._controls.close()
        self._growing.close()
        self._engine.close()
        self._delivery.close()
        self._flow.close()
        self._closing.set()
        self._publisher.join()

    def _speak(self, request: Any, sender: Any) -> None:
        request_id = request.request_id() if is_secret(request.request_id()) else uuid4().hex
        codes = tensors.array(request, "reference_codes", self._model.layout.num_codebooks * self._max_clip_frames)
        frames = tensors.array(request, "reference_frames", self._max_clip_frames)
        written = tensors.text(request, "plan", tensors.LONGEST_OF_OURS)
        if codes is None or frames is None or written is None:
            raise InvalidRequestError("plan, reference_codes and reference_frames belong together; one is missing")
        signature = tensors.text(request, "codes_signature")
        self._seal.opened("codes", signature, request.request_id(), codes, frames)
        plan = SpeechPlan.read(self._seal.opened("speech plan", written, request.request_id()))
        layout = self._model.layout
        require(plan.timeout <= self._max_timeout, "timeout", plan.timeout)
        require(plan.windows.maximum <= self._max_window_frames, "maximum", plan.windows.maximum)
        positions = min(plan.most_positions + codes.shape[-1], self._context_limits.max_positions)
        nbytes = self._engine.stream_bytes(positions)
        self._memory.check(nbytes=nbytes)
        responses = Responses(
            request_id,
            sender,
            self._seal,
            self._metrics,
            layout,
            self._frame_seconds,
            plan.arrived,
            plan.deadline,
            on_sent=partial(self._sent, request_id, nbytes, positions),
            on_end=partial(self._ended, request_id),
        )
        arguments = (
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
        waits = partial(self._waits, request_id, nbytes)
        stream = GrowingStream(*arguments, waits=waits) if plan.text_timeout else SpeechStream(*arguments)
        if sender.is_cancelled() or not self._controls.stream_begins(request_id, stream.cancel):
            stream.end_unheard()
            return
        self._flow.begins(request_id, plan.arrived, stream.cancel)
        self._memory.promise(request_id, nbytes)
        try:
            if isinstance(stream, GrowingStream):
                self._growing.begins(request_id, stream)
            stream.start()
        except BaseException:
            self._ended(request_id, wanted=False)
            raise

    def _sent(self, request_id: str, nbytes: int, positions: int, frame: int) -> None:
        self._flow.sent(request_id, frame)
        self._memory.promise(request_id, nbytes - nbytes * frame // positions)

    def _ended(self, request_id: str, wanted: bool) -> None:
        self._memory.promise(request_id, 0)
        if self._growing.ends(request_id):
            self._prompt.send(Note(request_id, gone=True))
        self._controls.stream_ended(request_id)
        self._flow.ends(request_id, wanted)

    def _waits(self, request_id: str, nbytes: int, waits: bool) -> None:
        """A stream is nothing to the engine while it waits for text."""
        self._flow.waits(request_id, waits)
        self._memory.promise(request_id, 0 if waits else nbytes)

    def _given_up(self, request_id: str) -> None:
        """The request will be no stream."""
        for model in (self._encoder, self._prompt):
            model.send(Note(request_id, gone=True))

    def _control(self, control: str, request: Any, sender: Any) -> None:
        request_id = request.request_id()
        if not request_id:
            raise InvalidRequestError("control needs the request id of the stream it means")
        if control not in ("cancel", "watch", *TEXT_CONTROLS):
            known = ", ".join(("cancel", "watch", *TEXT_CONTROLS))
            raise InvalidRequestError(f"control {quoted(control)} is unknown; there are {known}")
        if not is_secret(request_id):
            tensors.send(sender)
        elif control == "cancel":
            self._controls.cancel(request_id, sender)
        elif control == "watch":
            self._controls.watch(request_id, sender)
        else:
            self._texts.pass_on(control, request_id, tensors.text(request, "text"))
            tensors.send(sender)

    def _last_progress(self) -> float:
        """When the engine last ended a step; now, while it has none to do; but never after Triton last took metrics:
        a Triton that takes nothing of this process any more hears no stream either. Needs the engine's lock.
        """
        stats, seen = self._engine.stats(), self._seen
        if stats.steps != seen.steps or stats.busy_seconds == seen.busy_seconds:
            self._moved = time.monotonic()
        self._seen = stats
        return min(self._moved, self._published)

    def _publish(self) -> None:
        """Follow the engine; when it can never speak again, end the process, which the launcher starts again."""
        while not self._closing.wait(_METRICS_SECONDS):
            if self._engine.broken:
                end_process("lm", self._engine.broken)
                return
            try:
                self._metrics.follow(self._engine.stats(), self._flow.late(), self._growing.look(), self._memory.used())
                if self._memory.is_short():
                    self._engine.free_caches()
            except Exception as error:  # the next look must still come
                pb_utils.Logger.log_error(f"the metrics could not be published: {error!r}")
            self._published = time.monotonic()
