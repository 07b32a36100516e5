"""How the parts of a stream were spoken, for its finish reason and its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from runtime.formats.speech_plan import PlannedPart
from runtime.formats.window import FinishReason


@dataclass(frozen=True)
class Outcome:
    """How a part was spoken. Times in seconds of the whole stream, without the pause after the part. characters: where
    its words, as written, stand in the text that was given; of a part that was cut, those of the words that were
    spoken at the expected pace.
    """

    speaker: str
    text: str
    written: str
    characters: tuple[int, int]
    start: float
    stop: float
    finish_reason: str
    retries: int


class Outcomes:
    """Those of one stream, and what was tried against errors meanwhile."""

    def __init__(self, frame_seconds: float) -> None:
        self._frame_seconds = frame_seconds
        self._parts: list[Outcome] = []
        self._frames = 0  # of all parts
        self.error_chain: list[str] = []

    def add(self, part: PlannedPart, position: int, frames: int, reason: FinishReason, retries: int) -> None:
        """A part that began at a frame of the stream and has so many."""
        start, stop = (round(frame * self._frame_seconds, 6) for frame in (position, position + frames))
        self._frames += frames
        said, last = part.said, part.said.stop
        if reason is not FinishReason.STOP:
            last = said.heard(frames / part.expected_frames)
        characters = (said.start, last)
        self._parts.append(
            Outcome(part.speaker, part.text, said.written, characters, start, stop, reason.value, retries)
        )

    def finish_reason(self, spoken_all: bool) -> FinishReason:
        """The whole stream's: the worst among its parts."""
        reasons = {outcome.finish_reason for outcome in self._parts}
        if FinishReason.RUNAWAY.value in reasons:
            return FinishReason.RUNAWAY
        if FinishReason.LENGTH.value in reasons or not spoken_all:
            return FinishReason.LENGTH
        return FinishReason.STOP

    def report(self, about: dict[str, Any], seed: int, parts: Sequence[PlannedPart]) -> dict[str, Any]:
        """What the client is told at the end. parts: all that were asked for."""
        return {
            **about,
            "text_tokens": sum(len(part.ids) for part in parts),
            "seed": seed,
            "retries": sum(outcome.retries for outcome in self._parts),
            "frames": self._frames,
            "error_chain": self.error_chain,
            "parts": [asdict(outcome) for outcome in self._parts],
        }
