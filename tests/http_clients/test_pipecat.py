"""pipecat's OpenAI TTS service, in a pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    MetricsFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.metrics.metrics import TTFBMetricsData, TTSUsageMetricsData
from pipecat.pipeline.worker import PipelineParams
from pipecat.services.openai.tts import VALID_VOICES, OpenAITTSService
from pipecat.tests.utils import SleepFrame, run_test

from tests.http_clients.sound import LONG, RATE, TEXT

START_SECONDS = 60.0
METRICS = PipelineParams(enable_metrics=True, enable_usage_metrics=True, audio_out_sample_rate=RATE)


def speak(base_url: str, text: str, **settings: Any) -> tuple[Sequence[Frame], Sequence[Frame]]:
    """The frames that leave the service downstream and upstream."""

    async def run() -> tuple[Sequence[Frame], Sequence[Frame]]:
        service = OpenAITTSService(api_key="none", base_url=base_url, settings=OpenAITTSService.Settings(**settings))
        return await run_test(
            service,
            frames_to_send=[TTSSpeakFrame(text), SleepFrame(0.1)],
            pipeline_params=METRICS,
            start_timeout=START_SECONDS,
        )

    return asyncio.run(run())


def only(frames: Sequence[Frame], kind: type) -> list[Any]:
    return [one for one in frames if isinstance(one, kind)]


def test_a_sentence_comes_as_frames_of_audio_with_metrics(base_url: str) -> None:
    down, up = speak(base_url, TEXT)
    assert not only(up, ErrorFrame)
    assert len(only(down, TTSStartedFrame)) == len(only(down, TTSStoppedFrame)) == 1
    audio = only(down, TTSAudioRawFrame)
    assert len(audio) > 2 and {(one.sample_rate, one.num_channels) for one in audio} == {(RATE, 1)}
    assert 1.5 < sum(len(one.audio) for one in audio) / 2 / RATE < 4
    told = [data for frame in only(down, MetricsFrame) for data in frame.data]
    assert any(isinstance(one, TTFBMetricsData) and one.value > 0 for one in told)
    assert any(isinstance(one, TTSUsageMetricsData) and one.value == len(TEXT) for one in told)


@pytest.mark.parametrize("voice", sorted(VALID_VOICES))
def test_each_of_the_thirteen_voices_speaks(base_url: str, voice: str) -> None:
    down, up = speak(base_url, "Hello.", voice=voice, speed=1.1, instructions="A quiet room.")
    assert only(down, TTSAudioRawFrame) and not only(up, ErrorFrame)


def test_a_refusal_is_an_error_frame(base_url: str) -> None:
    _, up = speak(base_url, TEXT, speed=9.0)
    assert any("speed is 9.0" in frame.error for frame in only(up, ErrorFrame))


def test_an_interruption_frees_the_slot(base_url: str, is_freed: Callable[[], bool]) -> None:
    """As an interruption does: the service's generator is closed after its first frame of audio."""

    async def run() -> Frame:
        service = OpenAITTSService(api_key="none", base_url=base_url, sample_rate=RATE)
        service._sample_rate = RATE  # which a pipeline sets at its start
        frames = service.run_tts(LONG, "context")
        try:
            return await anext(frames)
        finally:
            await frames.aclose()

    assert isinstance(asyncio.run(run()), TTSAudioRawFrame)
    assert is_freed()
