"""Writes the speech plan of a request, with the clips it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from runtime.formats.errors import InvalidRequestError, quoted
from runtime.formats.options import GenerationParams
from runtime.formats.part_text import PartText, Word
from runtime.formats.speech_plan import NO_GUARD, PlannedPart, SamplingParameters, SpeechPlan, WindowPlan
from runtime.text.dialogue.voice_assignment import Reference, VoiceAssignment
from runtime.text.duration import estimate, spoken_seconds
from runtime.text.known_words import EVERY_WORD, KnownWords, warnings
from runtime.text.languages import Language
from runtime.text.parts import TextPart
from runtime.text.prompt_encoder import PromptEncoder
from runtime.text.runaway_limits import runaway_limits
from runtime.text.words import reading_shares

_NO_SAMPLES = np.zeros(0, np.float32)


@dataclass(frozen=True)
class PlanLimits:
    """What the engine has room for, in positions; `positions_beside_clip` is what a clip takes besides its frames."""

    num_codebooks: int
    frame_seconds: float
    hop_length: int
    max_positions: int
    max_prompt_audio_positions: int
    positions_beside_clip: int


@dataclass(frozen=True, eq=False)
class WrittenPlan:
    """A plan and its clips; each clip has either samples or codes, and 0 of the other.

    float32 [samples], int32 [clips], int32 [num_codebooks, frames], int32 [clips].
    """

    plan: SpeechPlan
    reference_samples: np.ndarray
    reference_lengths: np.ndarray
    known_codes: np.ndarray
    known_frames: np.ndarray


class PlanWriter:
    """One for all requests."""

    def __init__(self, encoder: PromptEncoder, limits: PlanLimits, known: KnownWords = EVERY_WORD) -> None:
        self._encoder, self._limits, self._known = encoder, limits, known

    def speech(self, voices: VoiceAssignment, system: str | None, params: GenerationParams) -> SpeechWriter:
        """What writes the speech of one request. system: None for the instruction that the model was trained with, ""
        for none. Raises InvalidRequestError for clips that do not fit into the engine.
        """
        return SpeechWriter(self._encoder, self._limits, self._known, voices, system, params)


class SpeechWriter:
    """Writes the parts of one request, all that there are or some at a time."""

    def __init__(
        self,
        encoder: PromptEncoder,
        limits: PlanLimits,
        known: KnownWords,
        voices: VoiceAssignment,
        system: str | None,
        params: GenerationParams,
    ) -> None:
        self._encoder, self._limits, self._voices, self._params = encoder, limits, voices, params
        # Parts of one group share a prefix and are each other's context.
        apart = params.dialogue_context == "own" and params.chunk_method != "none"
        self._groups = voices.apart() if apart else [voices]
        self._number_of = {
            speaker.name: number for number, group in enumerate(self._groups) for speaker in group.speakers
        }
        self._prefixes = [
            encoder.prefix(group.system if system is None else system, group.scene, group.reference_words)
            for group in self._groups
        ]
        self._beginnings = [
            len(prefix) + self._audio_positions(group.references)
            for prefix, group in zip(self._prefixes, self._groups, strict=True)
        ]
        self._count = 0
        self._known = known
        self._unknown: list[str] = []

    def parts(self, parts: Sequence[TextPart], language: Language) -> list[PlannedPart]:
        """The next parts as the engine takes them. Raises InvalidRequestError for one that does not fit into it."""
        planned = []
        for part in parts:
            self._count += 1
            number = self._group_of(part)
            group = self._groups[number]
            turn = self._encoder.turn("\n".join(group.tag(turn.speaker) + turn.text for turn in part.turns))
            self._check_room(self._beginnings[number] + len(turn), part, language)
            self._unknown += self._known.unknown(part.text)
            planned.append(self._part(part, turn.tolist(), number, language))
        return planned

    def plan(self, parts: Sequence[TextPart], language: Language, arrived: float, growing: bool = False) -> WrittenPlan:
        """The plan of the request with its first parts. arrived: when the request came, on the machine's clock.
        growing: more parts will follow. Raises InvalidRequestError as `parts`.
        """
        references = [reference for group in self._groups for reference in group.references]
        samples = [_NO_SAMPLES if reference.codes is not None else reference.samples for reference in references]
        nothing = np.zeros((self._limits.num_codebooks, 0), np.int32)
        codes = [nothing if reference.codes is None else reference.codes for reference in references]
        return WrittenPlan(
            plan=self._plan(self.parts(parts, language), language, arrived, growing),
            reference_samples=np.concatenate([_NO_SAMPLES, *samples]),
            reference_lengths=np.array([len(clip) for clip in samples], np.int32),
            known_codes=np.concatenate([nothing, *codes], axis=1),
            known_frames=np.array([clip.shape[1] for clip in codes], np.int32),
        )

    def about(self, language: Language) -> dict[str, Any]:
        """What the client's report says of the parts so far, besides how they were spoken."""
        return {
            "language": {"code": language.code, "name": language.name, "quality": language.quality},
            "warnings": warnings(self._unknown),
        }

    def frames(self, seconds: float) -> int:
        """How many of the codec's frames last so long, one at least."""
        return max(1, round(seconds / self._limits.frame_seconds))

    def _group_of(self, part: TextPart) -> int:
        speaker = part.turns[0].speaker or ""
        if speaker not in self._number_of:
            raise InvalidRequestError(
                f"{quoted(speaker)} begins to speak in a text whose speakers are settled; name all of them in the "
                "option speakers"
            )
        return self._number_of[speaker]

    def _part(self, part: TextPart, ids: list[int], prefix: int, language: Language) -> PlannedPart:
        guard, least_frames = NO_GUARD, 0
        if self._params.runaway_guard:
            guard, least_frames = runaway_limits(part.text, language.code, self._limits.frame_seconds)
        return PlannedPart(
            speaker=part.speaker,
            text=part.text,
            said=self._said(part, language),
            prefix=prefix,
            ids=tuple(ids),
            cloned=all(self._voices.speaker(said.speaker).reference is not None for said in part.turns),
            pause=self.pause(part.pause),
            max_frames=self.frames(self._params.max_part_seconds),
            expected_frames=self.frames(estimate(part.text, language.code).expected),
            least_frames=least_frames,
            guard=guard,
        )

    def _said(self, part: TextPart, language: Language) -> PartText:
        """The words of a part that was located, with their shares of its reading."""
        shares = reading_shares([word for word, *_ in part.words], part.text, language.code)
        words = [Word(*place, round(share, 5)) for place, share in zip(part.words, shares, strict=True)]
        start, stop = (words[0].start, words[-1].stop) if words else (0, 0)
        seconds = round(spoken_seconds(part.text, language.code), 3)
        return PartText(part.written, start, stop, seconds, tuple(words))

    def pause(self, seconds: float) -> int:
        """Frames of silence."""
        return round(seconds / self._limits.frame_seconds)

    def _plan(self, parts: list[PlannedPart], language: Language, arrived: float, growing: bool) -> SpeechPlan:
        """The options in the engine's units: frames of the codec."""
        params = self._params
        sampling = {field.name: getattr(params, field.name) for field in fields(SamplingParameters)}
        first = self.frames(params.first_chunk_seconds)
        return SpeechPlan(
            prefixes=tuple(tuple(prefix.tolist()) for prefix in self._prefixes),
            closing=tuple(self._encoder.closing),
            parts=tuple(parts),
            sampling=SamplingParameters(**sampling),
            windows=WindowPlan(first, params.chunk_growth, max(first, self.frames(params.max_chunk_seconds))),
            max_frames=self.frames(params.max_seconds),
            timeout=params.timeout_seconds,
            arrived=arrived,
            context_parts=params.context_parts,
            max_retries=params.max_retries,
            hold_parts=params.hold_parts,
            fallback_modes=params.fallback_modes,
            text_timeout=params.text_timeout_seconds if growing else 0.0,
            about=self.about(language) | {"voices": {speaker.name: speaker.voice for speaker in self._voices.speakers}},
        )

    def _audio_positions(self, clips: Sequence[Reference]) -> int:
        """The positions that reference clips take. Raises InvalidRequestError when they exceed the engine's limit."""
        limits = self._limits
        audio = sum(self._clip_frames(clip) + limits.positions_beside_clip for clip in clips)
        if audio > limits.max_prompt_audio_positions:
            raise InvalidRequestError(
                f"the reference clips take {audio} positions; the engine has {limits.max_prompt_audio_positions} for "
                "them; take fewer speakers or shorter clips"
            )
        return audio

    def _clip_frames(self, clip: Reference) -> int:
        return len(clip.samples) // self._limits.hop_length if clip.codes is None else clip.codes.shape[1]

    def _check_room(self, prompt: int, part: TextPart, language: Language) -> None:
        """Check that a part, whose prompt takes `prompt` positions, can be spoken to its end."""
        limits = self._limits
        positions = prompt + limits.positions_beside_clip
        seconds = (limits.max_positions - positions) * limits.frame_seconds
        needed = max(1.0, estimate(part.text, language.code).expected)
        if seconds < needed:
            raise InvalidRequestError(
                f"part {self._count} of the text, with what stands before it, takes {positions} of the engine's "
                f"{limits.max_positions} positions, which leaves {max(0.0, seconds):.0f} s for about "
                f"{needed:.0f} s of speech; take smaller chunks (chunk_method, chunk_words) or shorter clips"
            )
