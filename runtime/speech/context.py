"""What the next part's prompt begins with: a prefix, then the parts already spoken, text with codes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from runtime.engine.delay_pattern import delay
from runtime.engine.types import AudioSegment, CodebookLayout, Prompt, Segment, TextSegment
from runtime.formats.speech_plan import PlannedPart, SpeechPlan


@dataclass(frozen=True)
class ContextLimits:
    """Positions of one stream, prompt plus generated columns, and how many positions of a prompt may be audio."""

    max_positions: int
    max_audio_positions: int


@dataclass(frozen=True, eq=False)
class _Spoken:
    """A part in context. An anchor is the first part of a speaker whose voice is not in the prefix."""

    segments: tuple[Segment, ...]
    anchor: bool


class Context:
    """A prefix of a plan, then the last `context_parts` parts and every anchor before them.

    Anchors stay for the whole request, as references do: the model chose a voice there, and keeps it only while the
    anchor is in its prompt.
    """

    def __init__(
        self, plan: SpeechPlan, prefix: tuple[Segment, ...], layout: CodebookLayout, limits: ContextLimits
    ) -> None:
        self._layout, self._limits, self._prefix = layout, limits, prefix
        self._context_parts, self._closing = plan.context_parts, _text(plan.closing)
        self._spoken: list[_Spoken] = []
        self._anchored: set[str] = set()

    def add(self, part: PlannedPart, codes: np.ndarray) -> None:
        """Remember a part that was spoken well. codes: int32 [num_codebooks, frames]."""
        anchor = not part.cloned and part.speaker not in self._anchored
        if anchor:
            self._anchored.add(part.speaker)
        audio = AudioSegment(delay(codes, self._layout))
        self._spoken.append(_Spoken((_text(part.ids), audio, self._closing), anchor))
        older = len(self._spoken) - self._context_parts
        self._spoken = [spoken for age, spoken in enumerate(self._spoken) if spoken.anchor or age >= older]

    def forget(self) -> None:
        """Forget every part, anchors too."""
        self._spoken.clear()
        self._anchored.clear()

    def prompt(self, part: PlannedPart, frames: int) -> Prompt:
        """The part's prompt; drops old context until `frames` more fit behind it."""
        while True:
            prompt = Prompt((*self._prefix, *self._segments(), _text(part.ids)))
            if not self._spoken or self._fits(prompt, frames):
                return prompt
            self._spoken.remove(next((spoken for spoken in self._spoken if not spoken.anchor), self._spoken[0]))

    def _segments(self) -> Iterable[Segment]:
        return (segment for spoken in self._spoken for segment in spoken.segments)

    def _fits(self, prompt: Prompt, frames: int) -> bool:
        audio = sum(len(segment) for segment in prompt.segments if isinstance(segment, AudioSegment))
        positions = len(prompt) + frames + self._layout.num_codebooks
        return positions <= self._limits.max_positions and audio <= self._limits.max_audio_positions


def _text(ids: Sequence[int]) -> TextSegment:
    return TextSegment(np.array(ids, np.int64))
