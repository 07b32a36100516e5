"""The texts of this server that come in pieces: control requests bring these, and `lm` gets what they say for sure.

`append` brings more text, `flush` has spoken what is there, `end` says that no more comes. They stand under the id of
the stream, which has to be long enough to be a secret (`formats/stream_ids.py`). They go to `lm`, which passes them on:
Triton 2.51 ends with a segmentation fault when one gRPC stream has requests for decoupled models, as the ensemble is,
and for others, as `prompt` has to be. About a stream that takes no text, or none any more, they say nothing to anybody.
What is wrong with a piece ends its stream.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque

from runtime.formats.errors import InvalidRequestError, OverloadedError, quoted
from runtime.formats.stream_ids import is_secret
from runtime.text.growing_speech import GrowingSpeech, Settled
from runtime.text.plan_writer import SpeechWriter, WrittenPlan
from runtime.triton.notes import Note, NoteReceiver
from runtime.triton.pipes import LineReader, LineWriter

PARTS = "lm.parts"  # the pipe that brings them to `lm`
TEXT_CONTROLS = ("append", "flush", "end")
_TEXTS = "prompt.texts"  # the pipe that brings the control requests
_MOST = 4096
# Control requests may overtake the request that opens their stream: so many characters, for so many seconds.
_MOST_EARLY, _EARLY_SECONDS = 2**20, 10.0

_NO_FOLDER = "a text can come in pieces only to a server that python -m serve has started"
Control = tuple[str, str]  # a word, and a text


class TextSender:
    """In `lm`: passes control requests on to `prompt`."""

    def __init__(self) -> None:
        self._pipe = LineWriter(_TEXTS)

    def pass_on(self, control: str, stream: str, text: str | None) -> None:
        """Raises InvalidRequestError for one that makes no sense, EngineError when `prompt` takes nothing."""
        if not self._pipe.connected:
            raise InvalidRequestError(_NO_FOLDER)
        if control == "append" and text is None:
            raise InvalidRequestError("append needs a text")
        self._pipe.write(json.dumps([stream, control, text or ""]))


class _Early:
    """Control requests whose stream is not here yet. Not thread-safe."""

    def __init__(self) -> None:
        self._controls: deque[tuple[float, str, Control]] = deque()
        self._characters = 0

    def add(self, stream: str, control: Control, now: float) -> None:
        """Keep one, and forget those that have become too old or too many."""
        self._controls.append((now, stream, control))
        self._characters += 1 + len(control[1])
        while self._controls and (self._characters > _MOST_EARLY or self._controls[0][0] < now - _EARLY_SECONDS):
            self._characters -= 1 + len(self._controls.popleft()[2][1])

    def taken(self, stream: str) -> list[Control]:
        """Those of a stream, in order; they are here no more."""
        taken = [control for _, name, control in self._controls if name == stream]
        if taken:
            self._controls = deque(one for one in self._controls if one[1] != stream)
            self._characters -= sum(1 + len(text) for _, text in taken)
        return taken


class GrowingTexts:
    """Safe to use from any thread."""

    def __init__(self) -> None:
        self._texts: dict[str, tuple[GrowingSpeech, float]] = {}  # with its stream's deadline
        self._pipe = LineWriter(PARTS)
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._look, name="growing texts", daemon=True)
        self._thread.start()
        self._notes = NoteReceiver("prompt", self._take)
        self._early = _Early()
        self._controls = LineReader(_TEXTS, self._control)

    def open(self, stream: str, settled: Settled, writer: SpeechWriter, text: str, arrived: float) -> WrittenPlan:
        """The plan of a stream with the beginning of its text.

        Raises InvalidRequestError for an id that is no secret, or in use, and for a text that cannot be spoken,
        OverloadedError when too many texts are open.
        """
        if not self._pipe.connected:
            raise InvalidRequestError(_NO_FOLDER)
        if not is_secret(stream):
            raise InvalidRequestError("a text that comes in pieces needs a request id that nobody can guess")
        with self._changed:
            if stream in self._texts:
                raise InvalidRequestError(f"a request with the id {quoted(stream)} is already being served")
            if len(self._texts) >= _MOST:
                raise OverloadedError(f"{_MOST} texts are open already")
            speech = GrowingSpeech(stream, settled, writer, lambda more: self._pipe.write(more.write()))
            written = speech.open(text, arrived)
            self._texts[stream] = speech, written.plan.deadline
            for control in self._early.taken(stream):
                _apply(speech, *control)
            self._changed.notify()  # the thread, of when to look
        return written

    def close(self) -> None:
        """Take nothing more."""
        self._notes.close()
        self._controls.close()
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _control(self, line: bytes) -> None:
        stream, control, text = json.loads(line)
        with self._changed:
            if stream in self._texts:
                _apply(self._texts[stream][0], control, text)
                self._changed.notify()
            else:
                self._early.add(stream, (control, text), time.monotonic())

    def _take(self, note: Note) -> None:
        if note.gone:
            with self._changed:
                self._texts.pop(note.stream, None)

    def _look(self) -> None:
        with self._changed:
            while not self._closing:
                now = time.monotonic()
                for stream, (speech, deadline) in list(self._texts.items()):
                    if speech.due <= now:
                        speech.flush()
                    if speech.over or deadline <= now:
                        del self._texts[stream]
                times = [min(speech.due, deadline) for speech, deadline in self._texts.values()]
                self._changed.wait(max(0.0, min(times) - now) if times else None)


def _apply(speech: GrowingSpeech, control: str, text: str) -> None:
    if control == "append":
        speech.append(text, time.monotonic())
    elif control == "flush":
        speech.flush()
    else:
        speech.end()
