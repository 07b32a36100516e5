"""LiveKit's ElevenLabs plug-in with another base address: streams of words, a dialogue model, whole texts, voices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from livekit.agents import APIError, APIStatusError
from livekit.agents.tts import SynthesizedAudio
from livekit.agents.utils import http_context
from livekit.plugins import elevenlabs

from tests.http_clients.sound import LONG, TEXT
from tests.http_clients.test_livekit import ONCE


def speaker(base_url: str, **options: Any) -> elevenlabs.TTS:
    return elevenlabs.TTS(base_url=base_url, api_key="none", **({"voice_id": "slt"} | options))


async def streamed(tts: elevenlabs.TTS, words: list[str]) -> list[SynthesizedAudio]:
    """What comes for words that come one by one."""
    async with tts.stream(conn_options=ONCE) as stream:
        for word in words:
            stream.push_text(f"{word} ")
            await asyncio.sleep(0.02)
        stream.end_input()
        return [event async for event in stream]


# `eleven_v3` is spoken over the dialogue's socket.
@pytest.mark.parametrize("model", ["eleven_turbo_v2_5", "eleven_v3"])
@pytest.mark.parametrize("encoding", ["mp3_22050_32", "pcm_16000", "opus_48000_32"])
def test_words_that_come_are_spoken(base_url: str, model: str, encoding: str) -> None:
    async def say() -> list[SynthesizedAudio]:
        async with http_context.open(), speaker(base_url, model=model, encoding=encoding) as tts:
            return await streamed(tts, f"{TEXT} Good morning.".split())

    events = asyncio.run(say())
    assert {event.frame.sample_rate for event in events} == {int(encoding.split("_")[1])}
    assert 2.5 < sum(event.frame.duration for event in events) < 6
    assert np.abs(np.concatenate([np.frombuffer(event.frame.data, np.int16) for event in events])).max() > 3000


def test_several_speak_at_once_over_one_connection(base_url: str) -> None:
    async def say() -> list[list[SynthesizedAudio]]:
        async with http_context.open(), speaker(base_url) as tts:
            return await asyncio.gather(*(streamed(tts, TEXT.split()) for _ in range(3)))

    for events in asyncio.run(say()):
        assert 1.5 < sum(event.frame.duration for event in events) < 4


def test_closing_half_way_frees_the_slot(base_url: str, is_freed: Callable[..., bool]) -> None:
    async def say() -> None:
        async with http_context.open(), speaker(base_url, auto_mode=False) as tts:
            stream = tts.stream(conn_options=ONCE)
            stream.push_text(LONG)
            async for _ in stream:
                break
            await stream.aclose()
            await asyncio.sleep(0.5)  # before the connection closes, too

    asyncio.run(say())
    assert is_freed("cancelled")


def test_a_whole_text_and_the_voices(base_url: str) -> None:
    async def say() -> tuple[Any, list[str]]:
        async with http_context.open(), speaker(base_url) as tts:
            frame = await tts.synthesize(TEXT, conn_options=ONCE).collect()
            return frame, [voice.id for voice in await tts.list_voices()]

    frame, voices = asyncio.run(say())
    assert frame.sample_rate == 22_050 and 1.5 < frame.duration < 4
    assert "slt" in voices


def test_refusals_are_told(base_url: str) -> None:
    async def say() -> None:
        async with http_context.open(), speaker(base_url, voice_id="nobody") as tts:
            await streamed(tts, ["Hello."])

    with pytest.raises((APIError, APIStatusError)):
        asyncio.run(say())
