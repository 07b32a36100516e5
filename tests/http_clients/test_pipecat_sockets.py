"""pipecat's ElevenLabs services, whose text comes from a language model and is spoken as it comes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp
import pytest
from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.services.elevenlabs.dialogue.tts import ElevenLabsDialogueTTSService
from pipecat.services.elevenlabs.tts import ElevenLabsHttpTTSService, ElevenLabsTTSService
from pipecat.services.tts_service import TextAggregationMode, TTSService
from pipecat.tests.utils import SleepFrame, run_test

from tests.http_clients.sound import LONG, RATE, TEXT
from tests.http_clients.test_pipecat import METRICS, START_SECONDS, only

SERVICES = [ElevenLabsTTSService, ElevenLabsDialogueTTSService]


def service(kind: Any, address: str, voice: str = "slt", **options: Any) -> TTSService:
    settings = kind.Settings(voice=voice)
    return kind(api_key="none", url=address.replace("http", "ws", 1), settings=settings, **options)


def heard(speaker: TTSService, frames: list[Frame]) -> tuple[Sequence[Frame], Sequence[Frame]]:
    """The frames that leave it downstream and upstream."""

    async def run() -> tuple[Sequence[Frame], Sequence[Frame]]:
        return await run_test(speaker, frames_to_send=frames, pipeline_params=METRICS, start_timeout=START_SECONDS)

    return asyncio.run(run())


def written(text: str) -> list[Frame]:
    """As a language model writes it, word by word."""
    words = [LLMTextFrame(word) for word in re.findall(r"\S+\s*", text)]
    return [LLMFullResponseStartFrame(), *words, LLMFullResponseEndFrame()]


def seconds(frames: Sequence[Frame]) -> float:
    return sum(len(one.audio) for one in only(frames, TTSAudioRawFrame)) / 2 / RATE


@pytest.mark.parametrize("kind", SERVICES)
def test_a_sentence_is_spoken_with_its_words_in_time(address: str, kind: type) -> None:
    down, up = heard(service(kind, address), [TTSSpeakFrame(TEXT), SleepFrame(3)])
    assert not only(up, ErrorFrame)
    assert 1.5 < seconds(down) < 4 and len(only(down, TTSStoppedFrame)) == 1
    words = only(down, TTSTextFrame)
    assert [one.text for one in words] == TEXT.split()
    times = [one.pts for one in words]
    assert times == sorted(times) and times[0] < times[-1]


@pytest.mark.parametrize("mode", [TextAggregationMode.SENTENCE, TextAggregationMode.TOKEN])
def test_words_of_a_language_model_are_spoken(address: str, mode: TextAggregationMode) -> None:
    speaker = service(ElevenLabsTTSService, address, text_aggregation_mode=mode)
    down, up = heard(speaker, [*written(f"{TEXT} Good morning."), SleepFrame(3)])
    assert not only(up, ErrorFrame)
    assert 2.5 < seconds(down) < 6
    assert "".join(one.text for one in only(down, TTSTextFrame)).replace(" ", "") == f"{TEXT}Goodmorning.".replace(
        " ", ""
    )


def test_an_interruption_frees_the_slot(address: str, is_freed: Callable[..., bool]) -> None:
    frames = [
        LLMFullResponseStartFrame(),
        LLMTextFrame(f"{LONG} "),
        SleepFrame(1.0),
        InterruptionFrame(),
        SleepFrame(0.5),
    ]
    down, up = heard(service(ElevenLabsTTSService, address), frames)
    assert not only(up, ErrorFrame) and only(down, TTSAudioRawFrame)
    assert is_freed("cancelled")


def test_a_refusal_is_no_endless_wait(address: str) -> None:
    down, _ = heard(service(ElevenLabsTTSService, address, voice="nobody"), [TTSSpeakFrame(TEXT), SleepFrame(1)])
    assert not only(down, TTSAudioRawFrame)


def test_its_http_service_speaks_with_timestamps(address: str) -> None:
    async def run() -> tuple[Sequence[Frame], Sequence[Frame]]:
        async with aiohttp.ClientSession() as session:
            speaker = ElevenLabsHttpTTSService(
                api_key="none",
                aiohttp_session=session,
                base_url=address,
                settings=ElevenLabsHttpTTSService.Settings(voice="slt"),
            )
            frames = [TTSSpeakFrame(TEXT), SleepFrame(3)]
            return await run_test(speaker, frames_to_send=frames, pipeline_params=METRICS, start_timeout=START_SECONDS)

    down, up = asyncio.run(run())
    assert not only(up, ErrorFrame) and 1.5 < seconds(down) < 4
    assert [one.text for one in only(down, TTSTextFrame)] == TEXT.split()
