"""Triton model `prompt`: checks a request, before it costs anything, and turns it into what the next stages need.

in:  text (plain, a transcript with speakers, ChatML, or a JSON list of messages), voice?, reference_audio?,
     reference_text?, options?
out: plan (JSON, as `formats/speech_plan.py` describes it); for clips whose codes are not known, reference_samples
     float32 [samples] (concatenated, each a whole number of codec frames); for the others, known_codes int32
     [num_codebooks, frames]; reference_lengths and known_frames int32 [clips], one of the two 0 for each clip; deadline
     float64 [1], on the machine's clock; clips_signature over all of them. The plan begins with its signature
     (`formats/signing.py`)

It answers in `execute`, one request after another: Triton 2.51 ends with a segmentation fault when a model that is not
decoupled answers several from threads of its own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from runtime.formats.errors import InvalidRequestError, classify, timed_out
from runtime.formats.exports import KNOWN_WORDS_FILE
from runtime.formats.options import GenerationParams, OptionLimits
from runtime.formats.voice_profile import check_plain
from runtime.text.dialogue.dialogue import DialogueTurn, Recognition
from runtime.text.dialogue.voice_assignment import Reference, VoiceAssignment, assign
from runtime.text.duration import estimate
from runtime.text.growing_speech import Settled, growing_params, opening_turns
from runtime.text.known_words import KnownWords
from runtime.text.languages import likely_languages, resolve
from runtime.text.parts import located, text_parts
from runtime.text.plan_writer import PlanLimits, PlanWriter, WrittenPlan
from runtime.text.prompt_encoder import PromptEncoder, check_marks
from runtime.text.request_options import parse_options
from runtime.text.text_input import either, read_text
from runtime.triton import tensors
from runtime.triton.beat import Work, beat
from runtime.triton.growing_texts import GrowingTexts
from runtime.triton.memory import Memory
from runtime.triton.metrics import Refusals
from runtime.voices.reference import ReferenceRules
from runtime.voices.store import VoiceStore


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        settings = tensors.settings(args)
        directory = tensors.version_directory(args)
        self._references = ReferenceRules(**settings["reference"])
        self._voices = VoiceStore.open(directory / "voices", settings)
        self._writer = PlanWriter(
            PromptEncoder(directory / "tokenizer.json"),
            PlanLimits(**settings["plan"]),
            KnownWords.read(directory / KNOWN_WORDS_FILE),
        )
        self._options = OptionLimits(**settings["options"])
        self._max_characters: int = settings["max_characters"]
        self._frame_seconds: float = settings["plan"]["frame_seconds"]
        self._memory = Memory()
        self._refusals = Refusals("prompt")
        self._seal = tensors.seal(args)
        self._work = Work()
        self._growing = GrowingTexts()
        beat("prompt", self._work.last_progress)
        resolve(None, "word")  # loads the word lists now; otherwise the first request would wait a second for them

    def execute(self, requests: list[Any]) -> list[Any]:
        arrived = time.monotonic()
        return [self._answer(request, arrived) for request in requests]

    def finalize(self) -> None:
        self._growing.close()

    def _answer(self, request: Any, arrived: float) -> Any:
        try:
            with self._work:
                return self._write(request, arrived)
        except Exception as error:
            refusal = classify(error, "reading the text")
            self._refusals.count(refusal)
            return tensors.refusal(refusal)

    def _write(self, request: Any, arrived: float) -> Any:
        self._memory.check()
        params = parse_options(tensors.text(request, "options"), self._options)
        for name, value in (("system", params.system or ""), ("scene", params.scene)):
            check_plain(value, name)
            check_marks(value, name)
        grows = tensors.array(request, "growing", 1)
        read = self._open if grows is not None and grows.any() else self._read
        written = read(request, params, arrived)
        if time.monotonic() >= written.plan.deadline:
            raise timed_out("before its text was read")
        clips = [
            tensors.tensor("reference_samples", written.reference_samples, np.float32),
            tensors.tensor("reference_lengths", written.reference_lengths, np.int32),
            tensors.tensor("known_codes", written.known_codes, np.int32),
            tensors.tensor("known_frames", written.known_frames, np.int32),
            tensors.tensor("deadline", [written.plan.deadline], np.float64),
        ]
        signature = self._seal.sealed("clips", "", request.request_id(), *(clip.as_numpy() for clip in clips))
        plan = self._seal.sealed("speech plan", written.plan.write(), request.request_id())
        return pb_utils.InferenceResponse(
            [*clips, tensors.string_tensor("clips_signature", signature), tensors.string_tensor("plan", plan)]
        )

    def _read(self, request: Any, params: GenerationParams, arrived: float) -> WrittenPlan:
        """A request with all of its text."""
        text = tensors.text(request, "text")
        content = read_text(text, self._max_characters, self._recognition(params))
        given = self._given(request)
        system = either("system", params.system, content.system)
        scene = either("scene", params.scene or None, content.scene or None) or ""
        likely = self._likely(given, params, system)
        language = resolve(params.language or None, " ".join(turn.text for turn in content.turns), likely)
        made = self._assigned(given, content.turns, params, scene, language.code)
        parts = text_parts(content.turns, params, language.code, self._lexicons(made))
        if not parts:
            raise InvalidRequestError("text holds no letter or digit; there is nothing to say")
        self._memory.check(sum(estimate(part.text, language.code).expected for part in parts) / self._frame_seconds)
        speech = self._writer.speech(made, system, params)
        return speech.plan(located(parts, text or ""), language, arrived)

    def _open(self, request: Any, params: GenerationParams, arrived: float) -> WrittenPlan:
        """A request whose text comes in pieces."""
        text, params = tensors.text(request, "text") or "", growing_params(params)
        given = self._given(request)
        turns = opening_turns(text, params, self._recognition(params))
        likely = self._likely(given, params, params.system)
        words = " ".join(turn.text for turn in turns)
        made = self._assigned(given, turns, params, params.scene, resolve(params.language or None, words, likely).code)
        names = frozenset(speaker.name for speaker in made.speakers if speaker.name)
        settled = Settled(params, names, likely, self._lexicons(made), self._max_characters)
        return self._growing.open(
            request.request_id(), settled, self._writer.speech(made, params.system, params), text, arrived
        )

    def _likely(self, given: Reference | str | None, params: GenerationParams, system: str | None) -> list[str]:
        """The languages that the request beside its text is in."""
        return likely_languages(self._chosen_voices(given, params.speakers), [system or "", _words(given)])

    def _chosen_voices(self, given: Reference | str | None, speakers: dict[str, str]) -> list[str]:
        """The languages of the voices requested by name."""
        names = {given, *speakers.values()}
        return [str(one.metadata.get("language", "")) for one in self._voices.profiles() if one.name in names]

    def _recognition(self, params: GenerationParams) -> Recognition:
        """The names a label may be: those in the request, and those of the voices."""
        voices = frozenset(profile.name for profile in self._voices.profiles())
        return Recognition(params.dialogue, frozenset(params.speakers), voices)

    def _assigned(
        self,
        given: Reference | str | None,
        turns: Sequence[DialogueTurn],
        params: GenerationParams,
        scene: str,
        language: str,
    ) -> VoiceAssignment:
        """Who speaks in which voice, with clips as the codec takes them."""
        made = assign(turns, params.speakers, given, self._voices, language, scene, params.reference_place)
        return made.with_references(self._checked)

    def _lexicons(self, made: VoiceAssignment) -> dict[str, dict[str, str]]:
        """The readings that each speaker's voice brings, by the speaker's name."""
        voices = {speaker.name: speaker.voice for speaker in made.speakers if speaker.voice}
        return {name: self._voices.get(voice).metadata.get("lexicon", {}) for name, voice in voices.items()}

    def _checked(self, clip: Reference) -> Reference:
        samples = clip.samples if clip.codes is not None else self._references.checked(clip.samples)
        return replace(clip, samples=samples)

    def _given(self, request: Any) -> Reference | str | None:
        """The one voice the request brings: a clip with its transcript, or the name of a profile."""
        voice = tensors.text(request, "voice")
        samples = tensors.array(request, "reference_audio")
        words = tensors.text(request, "reference_text")
        if voice and samples is not None:
            raise InvalidRequestError("voice and reference_audio exclude each other; send one of them")
        if samples is not None:
            if not words or not words.strip():
                raise InvalidRequestError("reference_audio needs reference_text, the words it says")
            check_plain(words, "reference_text")
            check_marks(words, "reference_text")
            if not any(c.isalnum() for c in words):
                raise InvalidRequestError("reference_text holds no letter or digit; it must be the words the clip says")
            return Reference(samples, words)
        if words:
            raise InvalidRequestError("reference_text comes with reference_audio only")
        return voice or None


def _words(given: Reference | str | None) -> str:
    return given.words if isinstance(given, Reference) else ""
