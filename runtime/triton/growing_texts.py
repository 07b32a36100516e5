"""The texts of this server that come in pieces: control requests bring these, and `lm` gets what they say for sure.

`append` brings more text, `flush` has spoken what is there, `end` says that no more comes. They stand under the id of
the stream, which has to be long enough to be a secret (`cancelling.py`). About a stream that is over, or takes no text,
they say nothing to anybody. What is wrong with a piece ends its stream.
"""

from __future__ import annotations

import threading
import time

from runtime.formats.errors import InvalidRequestError, OverloadedError, quoted
from runtime.text.growing_speech import GrowingSpeech, Settled
from runtime.text.plan_writer import SpeechWriter, WrittenPlan
from runtime.triton.cancelling import is_secret
from runtime.triton.notes import Note, NoteReceiver
from runtime.triton.pipes import LineWriter

PARTS = "lm.parts"  # the pipe
CONTROLS = ("append", "flush", "end")
_MOST = 4096


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

    def open(self, stream: str, settled: Settled, writer: SpeechWriter, text: str, arrived: float) -> WrittenPlan:
        """The plan of a stream with the beginning of its text.

        Raises InvalidRequestError for an id that is no secret, or in use, and for a text that cannot be spoken,
        OverloadedError when too many texts are open.
        """
        if not self._pipe.connected:
            raise InvalidRequestError("a text can come in pieces only to a server with a run folder, as make serve has")
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
            self._changed.notify()  # the thread, of when to look
        return written

    def control(self, control: str, stream: str, text: str | None) -> None:
        """Do what a control request asks for. Raises InvalidRequestError for one that makes no sense."""
        if control not in CONTROLS:
            raise InvalidRequestError(f"control {quoted(control)} is unknown; there are {', '.join(CONTROLS)}")
        if control == "append" and text is None:
            raise InvalidRequestError("append needs a text")
        with self._changed:
            speech, _ = self._texts.get(stream, (None, 0.0))
            if speech is None:
                return
            if control == "append":
                speech.append(text or "", time.monotonic())
            elif control == "flush":
                speech.flush()
            else:
                speech.end()
            self._changed.notify()

    def close(self) -> None:
        """Take nothing more."""
        self._notes.close()
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

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
