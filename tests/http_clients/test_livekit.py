"""LiveKit's OpenAI TTS, whose default is mp3 inside of server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from livekit.agents import APIConnectOptions, APIStatusError
from livekit.agents.metrics import TTSMetrics
from livekit.plugins import openai

from tests.http_clients.sound import LONG, RATE, TEXT

ONCE = APIConnectOptions(max_retry=0, timeout=30)


def speaker(base_url: str, **options: Any) -> openai.TTS:
    return openai.TTS(base_url=base_url, api_key="none", **options)


def test_the_defaults_speak_and_count(base_url: str) -> None:
    measured: list[TTSMetrics] = []

    async def say() -> Any:
        async with speaker(base_url) as tts:
            tts.on("metrics_collected", measured.append)
            return await tts.synthesize(TEXT, conn_options=ONCE).collect()

    frame = asyncio.run(say())
    assert frame.sample_rate == RATE and frame.num_channels == 1
    assert 1.5 < frame.duration < 4
    assert np.abs(np.frombuffer(frame.data, np.int16)).max() > 3000
    (one,) = measured
    assert one.ttfb > 0 and one.audio_duration == pytest.approx(frame.duration, abs=0.01)
    assert one.output_tokens and one.output_tokens >= 25 and one.input_tokens and one.request_id


@pytest.mark.parametrize("name", ["mp3", "opus", "aac", "flac", "wav", "pcm"])
@pytest.mark.parametrize("model", ["gpt-4o-mini-tts", "tts-1"])  # as events, and as plain bytes
def test_every_format_is_decoded(base_url: str, name: str, model: str) -> None:
    async def say() -> Any:
        async with speaker(base_url, response_format=name, model=model, voice="nova", speed=1.1) as tts:
            return await tts.synthesize("Hello.", conn_options=ONCE).collect()

    frame = asyncio.run(say())
    assert frame.sample_rate == RATE and 0.2 < frame.duration < 3


def test_closing_half_way_frees_the_slot(base_url: str, is_freed: Callable[[], bool]) -> None:
    async def say() -> float:
        async with speaker(base_url) as tts:
            stream = tts.synthesize(LONG, conn_options=ONCE)
            async for event in stream:
                await stream.aclose()
                return float(event.frame.duration)
        return 0.0

    assert asyncio.run(say()) > 0
    assert is_freed()


def test_prewarming_opens_a_connection(base_url: str, address: str) -> None:
    async def warm() -> None:
        async with speaker(base_url) as tts:
            tts.prewarm()
            task, deadline = tts._prewarm_task, time.monotonic() + 30
            assert task is not None
            while not task.done() and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            assert task.done() and await tts._client.get("/", cast_to=str) == ""  # whose failures prewarm hides

    asyncio.run(warm())


def test_refusals_are_told(base_url: str) -> None:
    async def say() -> None:
        async with speaker(base_url, voice="nobody") as tts:
            await tts.synthesize(TEXT, conn_options=ONCE).collect()

    with pytest.raises(APIStatusError, match="voice 'nobody' is unknown") as caught:
        asyncio.run(say())
    assert caught.value.status_code == 400 and caught.value.request_id
