"""Which of the voices there are each speaker gets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from runtime.formats.errors import InvalidRequestError, quoted, shortened
from runtime.text.dialogue.dialogue import DialogueTurn
from runtime.text.readings.word_sets import words

_FEMININE = words(
    "female feminine f woman girl lady mother mom mrs ms miss she mujer femenino señora chica femme "
    "féminin madame fille 女 女人 女士 女孩 女声"
)
_MASCULINE = words(
    "male masculine m man boy gentleman father dad mr he hombre masculino señor chico homme "
    "masculin monsieur garçon 男 男人 先生 男孩 男声"
)


def assign_voices(
    turns: Sequence[DialogueTurn], mapping: dict[str, str], voices: dict[str, dict[str, Any]], language: str
) -> dict[str, str | None]:
    """Speaker -> name of a voice profile, in the order of first appearance; None where there are no profiles to choose.

    The `mapping` given comes first, then a profile of the speaker's own name (in whatever case), then a rule over the
    profiles' metadata: a voice of the text's language, of the gender that the speaker's name tells, least used so far,
    first by name. Raises InvalidRequestError for a mapping of speakers or to voices that there are not.
    """
    speakers = list(dict.fromkeys(turn.speaker for turn in turns if turn.speaker is not None))
    for speaker, voice in mapping.items():
        if speaker not in speakers:
            known = shortened(", ".join(speakers)) or "no speakers in the text"
            raise InvalidRequestError(f"speaker {quoted(speaker)} of the voices given says nothing; there are: {known}")
        if voice not in voices:
            known = ", ".join(sorted(voices)) or "none in this bundle"
            raise InvalidRequestError(f"voice {quoted(voice)} is unknown; there are: {known}")
    folded = {name.casefold(): name for name in sorted(voices, reverse=True)}
    assigned: dict[str, str | None] = {}
    for speaker in speakers:
        namesake = speaker if speaker in voices else folded.get(speaker.casefold())
        assigned[speaker] = mapping.get(speaker, namesake)
    for speaker in speakers:
        if assigned[speaker] is None and voices:
            gender, used = _gender(speaker), list(assigned.values())
            assigned[speaker] = min(
                voices,
                key=lambda name: (
                    str(voices[name].get("language", "")).split("-")[0].casefold() != language,
                    gender is not None and _gender(str(voices[name].get("gender", ""))) != gender,
                    used.count(name),
                    name,
                ),
            )
    return assigned


def _gender(description: str) -> str | None:
    """What a name ("Old Woman", "Mr. Smith") or a metadata value ("feminine") says of a voice's gender."""
    for word in re.findall(r"[^\W\d_]+", description.casefold()):
        if word in _FEMININE:
            return "feminine"
        if word in _MASCULINE:
            return "masculine"
    return None
