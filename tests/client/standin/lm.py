"""Stand-in for the bundle's `lm` model: decoupled, a sine instead of speech, told what to do by the text.

The text is a list of `key=value` words (others are ignored); see `Script`. Words `key_again=value` hold
where an earlier stream of the same text was told to fail. Every start, cancel, watch and end
is a line of JSON in the file named by the model parameter `events`, with the number of streams then alive.
"""

import json
import threading
from collections import Counter
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

SAMPLE_RATE = 24000
FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


def given(request: Any, name: str) -> NDArray[Any]:
    """An input's values."""
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    assert tensor is not None
    return tensor.as_numpy()


@dataclass
class Script:
    seconds: float = 1.0
    chunk: float = 0.1
    pace: float = 0.0  # seconds of sleep before each chunk
    reason: str = "stop"
    final: str = "with_data"  # or "empty": the flag comes as a response of its own
    error: str = ""  # class to fail with, after error_after chunks
    error_after: int = 0
    failures: int = 10**9  # only the first so many streams of this very text fail with the error
    drift: float = 0.0  # is added to every sample
    room: int = 10**9  # OverloadedError when more streams than this are alive
    stall_after: int = 10**9  # chunks, then silence until cancelled or `stall_seconds` are over
    stall_seconds: float = 20.0
    skip: int = 10**9  # this chunk is left out
    speakers: str = ""  # comma-separated, taking turns chunk by chunk; each chunk is then a part
    retries: int = 0  # of each part
    source: str = "sine"  # or "reference": speak the reference audio back

    @classmethod
    def read(cls, text: str) -> "Script":
        words = dict(word.split("=", 1) for word in text.split() if "=" in word)
        kinds = {field.name: type(getattr(cls, field.name)) for field in fields(cls)}
        return cls(**{name: kind(words[name]) for name, kind in kinds.items() if name in words})

    def speaker(self, index: int) -> str:
        names = self.speakers.split(",")
        return names[index % len(names)]

    def said(self, index: int) -> str:
        """What the bundle's `lm` tells of a part: two words of equal length."""
        first = 10 * index
        words = [
            {"text": "Words", "start": first, "stop": first + 5, "share": 0.5},
            {"text": str(index), "start": first + 6, "stop": first + 7, "share": 0.5},
        ]
        return json.dumps(
            {"written": f"Words {index}", "start": first, "stop": first + 7, "seconds": 0.4, "words": words}
        )

    def report(self, last: int) -> str:
        """What the bundle's `lm` tells at the end, with one part a chunk where there are speakers."""
        parts = [
            {
                "speaker": self.speaker(index),
                "text": f"words {index}",
                "written": f"Words {index}",
                "characters": [10 * index, 10 * index + 7],
                "start": index * self.chunk,
                "stop": (index + 1) * self.chunk,
                "finish_reason": self.reason,
                "retries": self.retries,
            }
            for index in range(last + 1 if self.speakers else 1)
        ]
        voices = {name: None if place else "slt" for place, name in enumerate(self.speakers.split(","))}
        language = {"code": "en", "name": "English", "quality": "high"}
        return json.dumps(
            {"language": language, "voices": voices, "seed": 3, "retries": self.retries * len(parts), "parts": parts}
        )


@dataclass
class Stream:
    name: str  # request id
    live: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self.events = json.loads(args["model_config"])["parameters"]["events"]["string_value"]
        self.lock = threading.Lock()
        self.streams: dict[str, Stream] = {}  # by request id
        self.starts: Counter[str] = Counter()  # by text

    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            control = pb_utils.get_input_tensor_by_name(request, "control")
            word = "speak" if control is None else control.as_numpy()[0].decode()
            with self.lock:
                # A control request may overtake its target, which goes through the prompt model first.
                stream = self.streams.setdefault(request.request_id(), Stream(request.request_id()))
            work = {"cancel": self.cancel, "watch": self.watch, "speak": self.speak}[word]
            if word == "speak":
                stream.live = True
            arguments = (stream, request, request.get_response_sender())
            threading.Thread(target=work, args=arguments, daemon=True).start()

    def read_order(self, stream: Stream, request: Any) -> tuple[Script, NDArray[np.float32]]:
        order = json.loads(given(request, "order")[0])
        reference = given(request, "reference").copy()
        self.note("start", stream, order=order, reference_samples=len(reference))
        script = Script.read(order["text"])
        with self.lock:
            self.starts[order["text"]] += 1
            if sum(stream.live for stream in self.streams.values()) > script.room:
                return replace(script, error="OverloadedError", error_after=0, pace=0.0), reference
            if self.starts[order["text"]] > script.failures:
                return replace(Script.read(order["text"].replace("_again=", "=")), error=""), reference
        return script, reference

    def cancel(self, stream: Stream, request: Any, sender: Any) -> None:
        self.note("cancel", stream)
        stream.stop.set()
        sender.send(flags=FINAL)

    def watch(self, stream: Stream, request: Any, sender: Any) -> None:
        """Held open until the stream's end; breaks with the client's connection."""
        self.note("watch", stream)
        while not stream.ended.wait(0.02):
            if request.is_cancelled():
                self.note("vanished", stream)
                stream.stop.set()
                break
        sender.send(flags=FINAL)

    def speak(self, stream: Stream, request: Any, sender: Any) -> None:
        try:
            script, reference = self.read_order(stream, request)
            self.send_chunks(stream.stop, script, reference, sender)
        finally:
            stream.live = False
            stream.ended.set()
            self.note("end", stream)

    def note(self, event: str, stream: Stream, **more: Any) -> None:
        with self.lock:
            live = sum(stream.live for stream in self.streams.values())
            with open(self.events, "a") as events:
                print(json.dumps({"event": event, "id": stream.name, "live": live, **more}), file=events)

    def send_chunks(self, stop: threading.Event, script: Script, reference: NDArray[np.float32], sender: Any) -> None:
        samples = reference
        if script.source == "sine":
            steps = np.arange(round(script.seconds * SAMPLE_RATE))
            samples = (0.5 * np.sin(2 * np.pi * 220 / SAMPLE_RATE * steps)).astype(np.float32)
        samples = samples + np.float32(script.drift)
        size = round(script.chunk * SAMPLE_RATE)
        starts = range(0, max(len(samples), 1), size)
        for index, start in enumerate(starts):
            stop.wait(script.stall_seconds if index >= script.stall_after else script.pace)
            if stop.is_set():
                self.send(sender, script, samples[:0], start, index, "cancelled", FINAL)
                return
            if script.error and index == script.error_after:
                fault = f"{script.error}: the stand-in was told to fail."
                self.send(sender, script, samples[:0], start, index, "", FINAL, fault=fault)
                return
            if index == script.skip:
                continue
            last = index == len(starts) - 1
            flag = FINAL if last and script.final == "with_data" else 0
            reason = script.reason if last else ""
            self.send(sender, script, samples[start : start + size], start, index, reason, flag)
        if script.final == "empty":
            sender.send(flags=FINAL)

    def send(
        self,
        sender: Any,
        script: Script,
        samples: NDArray[np.float32],
        start: int,
        index: int,
        reason: str,
        flag: int,
        *,
        fault: str = "",
    ) -> None:
        begins = index == 0 or script.speakers
        tensors = [
            pb_utils.Tensor("samples", samples),
            pb_utils.Tensor("start", np.array([start], np.int64)),
            pb_utils.Tensor("part_number", np.array([index if script.speakers else 0], np.int32)),
            pb_utils.Tensor("who", np.array([script.speaker(index).encode()], dtype=object)),
            pb_utils.Tensor("reason", np.array([reason.encode()], dtype=object)),
            pb_utils.Tensor("about", np.array([script.report(index).encode() if reason else b""], dtype=object)),
            pb_utils.Tensor("words", np.array([script.said(index).encode() if begins else b""], dtype=object)),
            pb_utils.Tensor("fault", np.array([fault.encode()], dtype=object)),
        ]
        sender.send(pb_utils.InferenceResponse(tensors), flags=flag)
