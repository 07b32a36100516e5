"""Follows each stream from `lm` through the codec to its client, and tells the engine who may rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from runtime.engine.contract import SpeechEngine
from runtime.speech.pacing import Pacing
from runtime.triton.notes import Note, NoteReceiver


class Flow:
    """The streams that are generated here or still wait at the codec. Safe to use from any thread.

    Args:
        first_audio: called with the seconds from a request's arrival to when its first audio has left for its client.
    """

    def __init__(self, engine: SpeechEngine, frame_seconds: float, first_audio: Callable[[float], None]) -> None:
        self._engine, self._frame_seconds, self._first_audio = engine, frame_seconds, first_audio
        self._cancels: dict[str, Callable[[], None]] = {}
        self._lock = threading.Lock()
        self._notes = NoteReceiver("lm", self._take)
        self._pacing = Pacing(hears=self._notes.connected)

    def begins(self, stream: str, arrived: float, cancel: Callable[[], None]) -> None:
        """A stream is submitted whose request arrived then. cancel: ends it when its client is gone."""
        with self._lock:
            self._cancels[stream] = cancel
            self._pacing.begins(stream, arrived)
            self._pace()

    def sent(self, stream: str, frame: int) -> None:
        """All frames of a stream before `frame` were sent to the codec."""
        with self._lock:
            self._left(self._pacing.sent(stream, frame * self._frame_seconds, time.monotonic()))
            self._pace()

    def ends(self, stream: str, wanted: bool) -> None:
        """Nothing more will be generated. wanted: what waits at the codec will still be decoded."""
        with self._lock:
            self._cancels.pop(stream, None)
            self._pacing.ends(stream, wanted)
            self._pace()

    def waits(self, stream: str, waits: bool) -> None:
        """Whether a stream has to wait for text from now on, and its listener with it."""
        with self._lock:
            self._pacing.waits(stream, waits, time.monotonic())
            self._pace()

    def late(self) -> int:
        """How many streams have a listener who waits for audio; looks after the engine's pace, too."""
        with self._lock:
            self._pace()
            return self._pacing.late(time.monotonic())

    def close(self) -> None:
        """Follow nothing more."""
        self._notes.close()

    def _take(self, note: Note) -> None:
        with self._lock:
            cancel = self._cancels.pop(note.stream, None) if note.gone else None
            self._left(self._pacing.left(note.stream, note.frame * self._frame_seconds, time.monotonic()))
            self._pace()
        if cancel is not None:
            cancel()

    def _left(self, first: float | None) -> None:
        if first is not None:
            self._first_audio(first)

    def _pace(self) -> None:
        self._engine.pace(self._pacing.pace(time.monotonic()))
