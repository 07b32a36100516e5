"""A speech stream whose text grows: when all its parts are spoken it waits for more, and is nothing to the engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from runtime.formats.errors import GenerationTimeoutError, RequestError, read_sentence, timed_out
from runtime.formats.more_parts import MoreParts
from runtime.formats.window import Window
from runtime.speech.speech_stream import SpeechStream


class GrowingStream(SpeechStream):
    """How a part ends shows only when more comes, or the end: until then the end of its last window is open.

    `extend` and `look`, too, may be called from any thread.

    Args:
        waits: called with whether the stream waits for text from now on.
    """

    def __init__(self, *arguments: Any, waits: Callable[[bool], None]) -> None:
        super().__init__(*arguments)
        self._waits = waits
        self._grows, self._fault = True, ""
        self._waiting_since: float | None = None

    def start(self) -> None:
        """As `SpeechStream.start`; without a part, wait for one."""
        if self._parts:
            super().start()
        else:
            self._wait()

    def cancel(self) -> None:
        """As `SpeechStream.cancel`."""
        super().cancel()
        self._defer(self._end_if_waiting)

    def extend(self, more: MoreParts) -> None:
        """Go on with more parts, or with the end."""
        self._defer(lambda: self._guarded(self._extend, more))

    def look(self, now: float) -> bool:
        """Whether the stream waits for text; ends it if it has waited too long by then, on the machine's clock."""
        since = self._waiting_since
        if since is not None and now >= min(since + self._plan.text_timeout, self._deadline):
            self._defer(lambda: self._give_up(since))
        return since is not None

    @property
    def _may_grow(self) -> bool:
        return self._grows or bool(self._fault)

    def _wait(self) -> None:
        """For more text, which may have ended meanwhile."""
        if self._fault:
            self._end(read_sentence(self._fault))
        elif self._cancelled.is_set():
            self._end_cancelled()
        else:
            self._waiting_since = time.monotonic()
            self._waits(True)

    def _extend(self, more: MoreParts) -> None:
        if self._parts and more.parts:
            self._parts[-1] = replace(self._parts[-1], pause=more.pause)
        self._parts += more.parts
        self._about = self._about | more.about
        self._grows, self._fault = not more.ended, more.fault
        if self._waiting_since is None:
            return
        if more.parts:
            self._go_on()
        elif self._fault:
            self._end(read_sentence(self._fault))
        elif not self._grows:
            self._end(self._finished(self._joint(0), self._outcomes.finish_reason(spoken_all=True)))

    def _go_on(self) -> None:
        """From waiting to the next part: how the one before it ends is known now."""
        self._waiting_since = None
        pause = self._parts[self._index - 1].pause if self._index else 0
        if self._index and self._position + pause >= self._plan.max_frames:
            self._end(self._finished(self._joint(0), self._outcomes.finish_reason(spoken_all=False)))
            return
        joint = replace(self._joint(pause), ends=True)
        self._position += pause
        self._waits(False)
        try:
            self._submit()
        finally:
            if self._index:
                self._send(joint)

    def _end_if_waiting(self) -> None:
        if self._waiting_since is not None:
            self._end_cancelled()

    def _give_up(self, since: float) -> None:
        if self._waiting_since != since:
            return
        if time.monotonic() >= self._deadline:
            self._end(timed_out())
            return
        self._end(
            GenerationTimeoutError(
                f"no more text came for {self._plan.text_timeout:g} s, the option text_timeout_seconds; "
                "end a text when it is complete"
            )
        )

    def _end(self, last: Window | RequestError) -> None:
        self._waiting_since = None
        super()._end(last)
