"""Who speaks in a request, and in which voice: a clip to imitate, a description in the scene, or the model's choice.

The format is the original's for several speakers: each has a number, `[SPEAKERn] ` precedes its words and those of its
clip, and voices without a clip have a line `SPEAKERn: …` at the end of the scene.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Protocol

import numpy as np

from runtime.formats.errors import InvalidRequestError, quoted, shortened
from runtime.text.dialogue.dialogue import DialogueTurn
from runtime.text.dialogue.scene import described, with_numbers
from runtime.text.dialogue.voice_choice import assign_voices
from runtime.text.prompt_encoder import SYSTEM_TEXT

# The instruction that the model was trained with for choosing the voices of several speakers.
SMART_SYSTEM_TEXT = (
    "You are an AI assistant designed to convert text into speech.\n"
    "If the user's message includes a [SPEAKER*] tag, do not read out the tag and generate speech for the following "
    "text, using the specified voice.\n"
    "If no speaker tag is present, select a suitable voice on your own."
)
# The voices that a request may ask for instead of a profile; if it asks for none, they alternate.
SMART_VOICES = ("feminine", "masculine")
_NUMBERED = re.compile(r"SPEAKER(\d{1,3})", re.IGNORECASE)


class Voices(Protocol):
    """A source of profiles (name, transcript, metadata, description, embedding).

    `load` returns one with its clip, float32 [samples], if its embedding is not known.
    """

    def profiles(self) -> Sequence[Any]: ...
    def load(self, name: str) -> tuple[Any, np.ndarray]: ...


@dataclass(frozen=True, eq=False)
class Reference:
    """A clip to imitate, float32 [samples], and its words; `name` of its profile, "" for a clip in the request.

    With `codes`, int32 [num_codebooks, frames], it need not be encoded and may have no samples.
    """

    samples: np.ndarray
    words: str
    name: str = ""
    codes: np.ndarray | None = None


@dataclass(frozen=True)
class Speaker:
    """One speaker. `name` is "" in a text without names; `description` is a line to add to the scene.

    `described`: the user's scene says something about the speaker.
    """

    name: str
    number: int
    reference: Reference | None
    description: str
    voice: str | None  # profile, None: none
    described: bool = False

    @property
    def label(self) -> str:
        return f"SPEAKER{self.number}"


@dataclass(frozen=True)
class VoiceAssignment:
    """All speakers of a request, by number, and the scene that the user gave them.

    `place`: where their clips stand, as the option `reference_place`. `together`: they speak in one conversation.
    """

    speakers: tuple[Speaker, ...]
    surroundings: str = ""
    place: str = "turns"
    together: bool = True

    @property
    def references(self) -> list[Reference]:
        """The clips of the prompt's prefix, in its order."""
        return [speaker.reference for speaker in self.speakers if speaker.reference is not None]

    @property
    def clips_in_scene(self) -> bool:
        """Whether a clip stands in its speaker's line of the scene, as it does beside a voice described in words."""
        others = [speaker for speaker in self.speakers if speaker.reference is None]
        return self.place == "system" or any(
            speaker.described or speaker.description not in ("", *SMART_VOICES) for speaker in others
        )

    @property
    def reference_words(self) -> list[str]:
        """What each clip says that has a turn of its own, as the prompt has it."""
        if self.clips_in_scene:
            return []
        tagged = len(self.speakers) > 1
        return [
            (f"[{speaker.label}] " if tagged else "") + speaker.reference.words
            for speaker in self.speakers
            if speaker.reference
        ]

    @property
    def system(self) -> str:
        """What the model is told where the request does not say."""
        chooses = any(speaker.reference is None and speaker.description in SMART_VOICES for speaker in self.speakers)
        return SMART_SYSTEM_TEXT if len(self.speakers) > 1 and chooses else SYSTEM_TEXT

    @property
    def scene(self) -> list[str]:
        """The surroundings and a line for each voice that stands there, cut where a clip belongs; [] for no scene."""
        pieces = [f"{self.surroundings}\n\n" if self.surroundings else ""]
        newline = ""
        for speaker in self.speakers:
            in_line = speaker.reference is not None and self.clips_in_scene
            if in_line or speaker.description:
                pieces[-1] += f"{newline}{speaker.label}: {speaker.description}"
                newline = "\n"
            if in_line:
                pieces.append("")
        pieces[-1] = pieces[-1].rstrip()
        return pieces if any(pieces) else []

    def apart(self) -> list[VoiceAssignment]:
        """Each speaker alone, as if nobody else spoke."""
        return [replace(self, speakers=(speaker,), together=False) for speaker in self.speakers]

    def with_references(self, change: Callable[[Reference], Reference]) -> VoiceAssignment:
        """The same with every clip changed."""
        speakers = (
            replace(speaker, reference=change(speaker.reference)) if speaker.reference is not None else speaker
            for speaker in self.speakers
        )
        return replace(self, speakers=tuple(speakers))

    def speaker(self, name: str | None) -> Speaker:
        """Who that is."""
        return next(speaker for speaker in self.speakers if speaker.name == (name or ""))

    def tag(self, name: str | None) -> str:
        """What stands before the words of a speaker; nothing for one who is alone, unless the text has the tag."""
        speaker = self.speaker(name)
        tagged = len(self.speakers) > 1 or (self.together and _NUMBERED.fullmatch(speaker.name) is not None)
        return f"[{speaker.label}] " if tagged else ""


def assign(
    turns: Sequence[DialogueTurn],
    mapping: dict[str, str],
    given: Reference | str | None,
    voices: Voices,
    language: str,
    scene: str = "",
    place: str = "turns",
) -> VoiceAssignment:
    """Give every speaker a number and a voice.

    mapping: speaker to the name of a profile or one of SMART_VOICES. given: the clip or the profile of the one speaker,
    or of what is said without a name. A speaker that the scene describes has that voice, unless one is asked for by
    mapping or given. place: as the option `reference_place`. Raises InvalidRequestError when a voice is unknown, has
    nobody to speak it, or is described a second time.
    """
    names = list(dict.fromkeys(turn.speaker or "" for turn in turns))
    for name in mapping:
        if name not in names:
            known = shortened(", ".join(filter(None, names))) or "nobody by name"
            raise InvalidRequestError(f"speakers gives {quoted(name)} a voice; in the text there speak: {known}")
    bearer = None if given is None else _bearer(names, mapping)
    smart = {name: voice for name, voice in mapping.items() if voice in SMART_VOICES}
    numbers = _numbers(names)
    by_name = {name: number for name, number in numbers.items() if not _NUMBERED.fullmatch(name)}
    surroundings = with_numbers(scene.strip(), by_name)
    numbers_in_scene = described(surroundings)
    in_scene = {name for name, number in numbers.items() if number in numbers_in_scene}
    settled = {*smart, bearer, *(in_scene - set(mapping))}
    assigned = assign_voices(
        [turn for turn in turns if turn.speaker and turn.speaker not in settled],
        {name: voice for name, voice in mapping.items() if name not in smart},
        {profile.name: profile.metadata for profile in voices.profiles()},
        language,
    )
    speakers = []
    for name, number in sorted(numbers.items(), key=lambda pair: pair[1]):
        voice = given if name == bearer else assigned.get(name)
        speaker = Speaker(name, number, None, smart.get(name, ""), None, name in in_scene)
        if isinstance(voice, Reference):
            speaker = replace(speaker, reference=voice)
        elif voice is not None:
            profile, samples = voices.load(voice)
            cloned = samples.size > 0 or profile.embedding is not None
            clip = Reference(samples, profile.transcript, voice, profile.embedding) if cloned else None
            speaker = replace(speaker, reference=clip, description="" if clip else profile.description, voice=voice)
        if speaker.described and speaker.description:
            raise InvalidRequestError(
                f"the scene describes {speaker.label}, and so does the voice {quoted(voice or speaker.description)} "
                "that is asked for; give one of the two"
            )
        speakers.append(speaker)
    return VoiceAssignment(tuple(_with_smart_voices(speakers)), surroundings, place)


def _bearer(names: list[str], mapping: dict[str, str]) -> str:
    """Whose the request's one voice is."""
    bearer = names[0] if len(names) == 1 else ""
    if bearer not in names:
        raise InvalidRequestError(
            f"voice and reference_audio are for one speaker, and here speak {', '.join(names)}; "
            "give each a profile with the option speakers"
        )
    if bearer in mapping:
        raise InvalidRequestError(f"{bearer} has a voice in speakers and another one beside it; give one of them")
    return bearer


def _numbers(names: list[str]) -> dict[str, int]:
    """`SPEAKERn` keeps its n; the others have the lowest that are free, in the order in which they first speak."""
    numbers = {name: int(match[1]) for name in names if (match := _NUMBERED.fullmatch(name))}
    if len(set(numbers.values())) < len(numbers):
        raise InvalidRequestError(f"two of {', '.join(numbers)} have one number; give each speaker one of its own")
    free = (number for number in count() if number not in numbers.values())
    return numbers | {name: next(free) for name in names if name not in numbers}


def _with_smart_voices(speakers: list[Speaker]) -> list[Speaker]:
    """Where several speak, the voices that the model chooses are alternately feminine and masculine."""
    if len(speakers) == 1:
        return speakers
    return [
        replace(speaker, description=SMART_VOICES[place % 2])
        if speaker.reference is None and not speaker.description and not speaker.described
        else speaker
        for place, speaker in enumerate(speakers)
    ]
