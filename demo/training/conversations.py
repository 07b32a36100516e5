"""The content of the language model's examples: one sentence or several, one part or a few, one to four speakers.

The prompts are those that the bundle's `prompt` and `lm` models make: the voices' clips first, then the parts spoken
so far, each with its text. Most examples are one sentence; conversations are what long texts and dialogues become.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from demo.training.readings import VOICES, Reading

SYSTEM = "Generate audio following instruction."
# What the server tells the model where it is to choose voices for several speakers.
SMART_SYSTEM = (
    "You are an AI assistant designed to convert text into speech.\n"
    "If the user's message includes a [SPEAKER*] tag, do not read out the tag and generate speech for the following "
    "text, using the specified voice.\n"
    "If no speaker tag is present, select a suitable voice on your own."
)
SCENE = "Audio is recorded from a quiet room."
SMART_VOICES = {"feminine": "slt", "masculine": "rms"}
DIALOGUE = 0.6  # of the conversations; the others are long texts
SPEAKERS = (2, 2, 3, 4)
SMART_DIALOGUE = 0.3  # of the dialogues: no clips, the scene says who is feminine and who masculine
PARTS = (1, 2, 3, 4)
SENTENCES = (1, 1, 1, 2, 3)  # of a part
MOST_FRAMES = 420  # of a conversation's parts together


@dataclass(frozen=True)
class Shares:
    """How many of the examples have a reference clip, a scene, and how many are conversations."""

    reference: float
    scene: float
    conversation: float


@dataclass(frozen=True)
class Speaker:
    """A voice, the clip it is cloned from, its mark in front of text, and its line in the scene."""

    voice: str
    clip: Reading | None = None
    tag: str = ""
    line: str = ""


@dataclass(frozen=True)
class SpokenPart:
    """Sentences that are read in one go."""

    tag: str
    readings: tuple[Reading, ...]


@dataclass(frozen=True)
class Conversation:
    """`system` holds the scene."""

    system: str
    speakers: tuple[Speaker, ...]
    parts: tuple[SpokenPart, ...]


class ConversationMaker:
    """Draws conversations of readings."""

    def __init__(self, readings: Sequence[Reading]) -> None:
        self._by_voice: dict[str, list[Reading]] = defaultdict(list)
        self._references: dict[str, list[Reading]] = defaultdict(list)
        for reading in readings:
            self._by_voice[reading.voice].append(reading)
            if reading.heard is not None:
                self._references[reading.voice].append(reading)

    def draw(self, generator: random.Random, shares: Shares) -> Conversation:
        """One conversation; the same generator state gives the same one."""
        several = generator.random() < shares.conversation
        if several and generator.random() < DIALOGUE:
            speakers = self._dialogue(generator)
        else:
            speakers = (self._alone(generator, 0.5 if several else shares.reference),)
        parts = self._parts(generator, speakers) if several else (self._part(generator, speakers[0], 1),)
        surroundings = SCENE if generator.random() < shares.scene else ""
        return Conversation(_system(surroundings, speakers), speakers, parts)

    def _alone(self, generator: random.Random, reference: float) -> Speaker:
        if generator.random() >= reference:
            return Speaker(VOICES[0])
        voice = generator.choice(VOICES)
        return Speaker(voice, self._clip(generator, voice))

    def _dialogue(self, generator: random.Random) -> tuple[Speaker, ...]:
        count = generator.choice(SPEAKERS)
        if generator.random() < SMART_DIALOGUE:
            return tuple(
                Speaker(SMART_VOICES[kind], None, f"[SPEAKER{number}] ", f"SPEAKER{number}: {kind}")
                for number, kind in enumerate(generator.choices(list(SMART_VOICES), k=count))
            )
        # Use every voice before using one twice.
        voices = [*generator.sample(VOICES, len(VOICES)), generator.choice(VOICES)][:count]
        return tuple(
            Speaker(voice, self._clip(generator, voice), f"[SPEAKER{number}] ") for number, voice in enumerate(voices)
        )

    def _clip(self, generator: random.Random, voice: str) -> Reading:
        return generator.choice(self._references[voice])

    def _parts(self, generator: random.Random, speakers: Sequence[Speaker]) -> tuple[SpokenPart, ...]:
        """A few parts; in a dialogue nobody speaks twice in a row."""
        parts, frames, last = list[SpokenPart](), 0, None
        for _ in range(generator.choice(PARTS)):
            speaker = generator.choice([one for one in speakers if one is not last] or speakers)
            part = self._part(generator, speaker, generator.choice(SENTENCES))
            frames += sum(reading.codes.shape[1] for reading in part.readings)
            if parts and frames > MOST_FRAMES:
                break
            parts.append(part)
            last = speaker
        return tuple(parts)

    def _part(self, generator: random.Random, speaker: Speaker, sentences: int) -> SpokenPart:
        return SpokenPart(speaker.tag, tuple(generator.choices(self._by_voice[speaker.voice], k=sentences)))


def _system(surroundings: str, speakers: Sequence[Speaker]) -> str:
    lines = [speaker.line for speaker in speakers if speaker.line]
    scene = "\n\n".join(filter(None, (surroundings, "\n".join(lines))))
    system = SMART_SYSTEM if lines else SYSTEM
    return f"{system}\n\n<|scene_desc_start|>\n{scene}\n<|scene_desc_end|>" if scene else system
