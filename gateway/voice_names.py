"""What a client calls a voice -> the voice of the server that it means."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from higgs_tts import AsyncHiggsClient, HiggsError, VoiceProfile

from gateway.settings import FEMININE, MASCULINE

ID_PREFIX = "voice_"  # of the ids that OpenAI's endpoints give to voices
_KEEP_SECONDS = 5.0  # a list of voices, which other gateways may change too


class VoiceNames:
    """The server's voices, asked for again when they may have changed. aliases: the operator's names for voices."""

    def __init__(self, client: AsyncHiggsClient, aliases: Mapping[str, str]) -> None:
        self._client, self._aliases = client, aliases
        self._voices: dict[str, VoiceProfile] = {}
        self._bundle = ""
        self._old_at = 0.0

    async def resolve(self, name: str) -> str | None:
        """The server's name for a voice, by its own name, its id, an alias or one of OpenAI's.

        A name that means nothing is returned as it is: the server says so in its own words. None where one of OpenAI's
        names is given and the server has no voices.
        """
        name = self._aliases.get(name, name)
        own = name.removeprefix(ID_PREFIX)
        try:
            voices = await self.voices(fresh=name != own and own not in self._voices)  # it may have been made just now
        except HiggsError:  # the model that lists them may be down while speech goes on
            voices = self._voices
        if name in voices or own in voices:
            return name if name in voices else own
        return _as_openai_calls(name, voices) if name in FEMININE + MASCULINE else name

    async def resolve_all(self, speakers: Mapping[str, Any]) -> dict[str, Any]:
        """The same for the voice of each speaker; what is no name is left for the server."""
        named = {speaker: voice for speaker, voice in speakers.items() if isinstance(voice, str)}
        return {**speakers, **{speaker: await self.resolve(voice) or voice for speaker, voice in named.items()}}

    async def voices(self, fresh: bool = True) -> dict[str, VoiceProfile]:
        """The voices by name; without `fresh` they may be some seconds old. Raises HiggsError."""
        if fresh or time.monotonic() > self._old_at:
            self._bundle = await self._client.bundle()
            self._voices = {voice.name: voice for voice in await self._client.voices()}
            self._old_at = time.monotonic() + _KEEP_SECONDS
        return self._voices

    async def identity(self, fresh: bool = True) -> list[Any]:
        """What tells this bundle with these voices from others. Raises HiggsError.

        An added voice's `audio_path` names its clip by content, so a voice that was replaced is another one.
        """
        told = [asdict(voice) for voice in (await self.voices(fresh)).values()]
        return [self._bundle, told]


def _as_openai_calls(name: str, voices: Mapping[str, VoiceProfile]) -> str | None:
    """A voice of the gender that OpenAI's voice seems to have, always the same one; of any, where there is none."""
    gender, names = ("feminine", FEMININE) if name in FEMININE else ("masculine", MASCULINE)
    fitting = sorted(one for one, voice in voices.items() if _gender(voice) == gender) or sorted(voices)
    return fitting[names.index(name) % len(fitting)] if fitting else None


def _gender(voice: VoiceProfile) -> str:
    told = str(voice.metadata.get("gender", "")).lower()
    return {"female": "feminine", "male": "masculine"}.get(told, told)
