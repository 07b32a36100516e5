"""What a client calls a voice -> the voice of the server that it means."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from higgs_tts import AsyncHiggsClient, HiggsError, VoiceProfile

from gateway.settings import FEMININE, MASCULINE

ID_PREFIX = "voice_"  # of the ids that OpenAI's endpoints give to voices
_ANSWER_SECONDS = 5.0
_KEEP_SECONDS = 5.0  # a list of voices, which other gateways may change too


class VoiceNames:
    """The server's voices, asked for again when they may have changed. aliases: the operator's names for voices."""

    def __init__(self, client: AsyncHiggsClient, aliases: Mapping[str, str]) -> None:
        self._client, self._aliases = client, aliases
        self._voices: dict[str, VoiceProfile] = {}
        self._identity = ""
        self._asked_at = -math.inf
        self._lock = asyncio.Lock()

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
        asked_at = time.monotonic()
        async with self._lock:
            if self._asked_at < asked_at if fresh else asked_at > self._asked_at + _KEEP_SECONDS:
                self._asked_at = time.monotonic()  # also where nobody answers: the next ones do not wait for that, too
                try:
                    bundle = await self._client.bundle()
                    voices = await self._client.voices(timeout=_ANSWER_SECONDS)
                except asyncio.CancelledError:  # whoever asked has gone
                    self.forget()
                    raise
                self._voices = {voice.name: voice for voice in voices}
                self._identity = await asyncio.to_thread(_digest, bundle, voices)
        return self._voices

    def forget(self) -> None:
        """Some voice was added, replaced or removed: ask again."""
        self._asked_at = -math.inf

    async def identity(self, fresh: bool = True) -> str:
        """What tells this bundle with these voices from others; "" where it is not known. Raises HiggsError."""
        await self.voices(fresh)
        return self._identity


def _digest(bundle: str, voices: list[VoiceProfile]) -> str:
    """An added voice's `audio_path` names its clip by content, so a voice that was replaced is another one."""
    return hashlib.sha256(json.dumps([bundle, *map(asdict, voices)], sort_keys=True).encode()).hexdigest()


def _as_openai_calls(name: str, voices: Mapping[str, VoiceProfile]) -> str | None:
    """A voice of the gender that OpenAI's voice seems to have, always the same one; of any, where there is none."""
    gender, names = ("feminine", FEMININE) if name in FEMININE else ("masculine", MASCULINE)
    fitting = sorted(one for one, voice in voices.items() if _gender(voice) == gender) or sorted(voices)
    return fitting[names.index(name) % len(fitting)] if fitting else None


def _gender(voice: VoiceProfile) -> str:
    told = str(voice.metadata.get("gender", "")).lower()
    return {"female": "feminine", "male": "masculine"}.get(told, told)
