"""Chunks, whole speech, parallel streams."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from higgs_tts import AsyncHiggsClient, AudioChunk, GenerationParams, HiggsClient, HiggsError, Reference

from .standin.server import StandInServer

RATE = 24000


def sine(seconds: float) -> np.ndarray:
    """What the stand-in speaks: float32 [seconds * 24000]."""
    steps = np.arange(round(seconds * RATE))
    return (0.5 * np.sin(2 * np.pi * 220 / RATE * steps)).astype(np.float32)


async def collect(client: AsyncHiggsClient, text: str) -> list[AudioChunk]:
    return [chunk async for chunk in client.stream(text)]


@pytest.mark.parametrize("final", ["with_data", "empty"])
def test_chunks_arrive_in_order_and_only_the_last_has_a_reason(settled: StandInServer, final: str) -> None:
    with HiggsClient(settled.url) as client:
        chunks = list(client.stream(f"seconds=0.95 chunk=0.1 final={final}"))
    assert [chunk.start_sample for chunk in chunks] == [2400 * index for index in range(10)]
    assert [chunk.finish_reason for chunk in chunks] == [None] * 9 + ["stop"]
    assert {chunk.sample_rate for chunk in chunks} == {RATE}
    np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in chunks]), sine(0.95))


def test_a_chunk_arrives_while_the_next_is_made(settled: StandInServer) -> None:
    with HiggsClient(settled.url) as client, client.stream("seconds=0.5 chunk=0.1 pace=0.1") as stream:
        times = [chunk.received_at - stream.started_at for chunk in stream]
    assert times[0] < 0.35 < times[-1]


@pytest.mark.parametrize("final", ["with_data", "empty"])
def test_async_stream_equals_sync_stream(settled: StandInServer, final: str) -> None:
    text = f"seconds=1.23 chunk=0.2 reason=length final={final}"

    async def run() -> list[AudioChunk]:
        async with AsyncHiggsClient(settled.url) as client:
            return await collect(client, text)

    with HiggsClient(settled.url) as client:
        chunks = list(client.stream(text))
    for sync, other in zip(chunks, asyncio.run(run()), strict=True):
        np.testing.assert_array_equal(sync.samples, other.samples)
        assert (sync.start_sample, sync.finish_reason) == (other.start_sample, other.finish_reason)


@pytest.mark.parametrize("reason", ["stop", "length", "runaway"])
def test_speech_is_the_whole_stream_with_its_figures(settled: StandInServer, reason: str) -> None:
    with HiggsClient(settled.url) as client:
        speech = client.synthesize(f"seconds=2 pace=0.01 reason={reason}")
    np.testing.assert_array_equal(speech.samples, sine(2))
    assert (speech.seconds, speech.finish_reason) == (2.0, reason)
    assert speech.time_to_first_audio is not None
    assert 0.01 < speech.time_to_first_audio < speech.elapsed
    assert speech.real_time_factor == pytest.approx(speech.elapsed / 2)


def test_speech_without_a_sample_has_no_first_audio(settled: StandInServer) -> None:
    with HiggsClient(settled.url) as client:
        speech = client.synthesize("seconds=0 reason=length")
    assert (speech.seconds, speech.time_to_first_audio, speech.finish_reason) == (0.0, None, "length")
    assert speech.real_time_factor == float("inf")


def test_sixteen_threads_share_a_client(settled: StandInServer) -> None:
    lengths = [0.5 + 0.1 * index for index in range(16)]
    together = threading.Barrier(16)

    def speak(seconds: float) -> np.ndarray:
        together.wait()
        return client.synthesize(f"seconds={seconds} pace=0.02").samples

    with HiggsClient(settled.url) as client, ThreadPoolExecutor(16) as pool:
        for seconds, samples in zip(lengths, pool.map(speak, lengths), strict=True):
            np.testing.assert_array_equal(samples, sine(seconds))


def test_tasks_share_an_async_client(settled: StandInServer) -> None:
    async def run() -> list[float]:
        async with AsyncHiggsClient(settled.url) as client:
            assert await client.sample_rate() == RATE
            speeches = await asyncio.gather(*[client.synthesize(f"seconds={n}") for n in (1, 2, 3)])
            return [speech.seconds for speech in speeches]

    assert asyncio.run(run()) == [1.0, 2.0, 3.0]


def test_every_input_reaches_the_server(settled: StandInServer) -> None:
    params = GenerationParams(
        preset="balanced", temperature=0.0, top_k=50, top_p=0.95, ras_window=7, ras_max_repeats=2, seed=0,
        max_seconds=5.0, first_chunk_seconds=0.2, chunk_growth=1.5, max_chunk_seconds=2.0,
        timeout_seconds=9.0, scene="Ein stiller Raum, 静か",
    )  # fmt: skip
    reference = Reference((sine(2), RATE), "Grüße, 世界")
    with HiggsClient(settled.url) as client:
        stream = client.stream("Guten Tag, Zoë", voice="belinda", reference=reference, params=params)
        list(stream)
    start = settled.wait_for(stream.request_id, "start")
    assert start["reference_samples"] == 2 * RATE
    assert start["order"] == {
        "text": "Guten Tag, Zoë",
        "voice": "belinda",
        "reference_text": "Grüße, 世界",
        "options": params.to_options(),
    }
    assert len(params.to_options()) == 13


def test_nothing_unset_is_sent(settled: StandInServer) -> None:
    with HiggsClient(settled.url) as client:
        stream = client.stream("hello", params=GenerationParams())
        list(stream)
    order = settled.wait_for(stream.request_id, "start")["order"]
    assert order == {"text": "hello", "voice": None, "reference_text": None, "options": {}}


def test_localhost_reaches_a_server_that_has_no_ipv6(settled: StandInServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with HiggsClient(f"localhost:{settled.grpc_port}") as client:
        assert client.synthesize("seconds=0.2").seconds == 0.2


def test_a_gap_in_the_audio_is_an_error(settled: StandInServer) -> None:
    with HiggsClient(settled.url) as client, pytest.raises(HiggsError, match="sample 4800 instead of 2400"):
        client.synthesize("seconds=1 pace=0.02 skip=1")


def test_a_stream_without_a_finish_reason_is_an_error(settled: StandInServer) -> None:
    with HiggsClient(settled.url) as client, pytest.raises(HiggsError, match="without a finish reason"):
        client.synthesize("seconds=0.3 reason=")


@pytest.mark.parametrize(("extension", "tolerance"), [("wav", 1 / 32767), ("flac", 1 / 32767), ("ogg", 0.05)])
def test_speech_is_saved_by_extension(settled: StandInServer, tmp_path: Path, extension: str, tolerance: float) -> None:
    with HiggsClient(settled.url) as client:
        client.synthesize("seconds=40 chunk=5").save(tmp_path / f"speech.{extension}")
    samples, rate = soundfile.read(tmp_path / f"speech.{extension}", dtype="float32")
    assert rate == RATE
    # 16 bits round by half a step; Vorbis is lossy.
    np.testing.assert_allclose(samples, sine(40), atol=tolerance)
    assert [path.name for path in tmp_path.iterdir()] == [f"speech.{extension}"]


def test_chunks_say_who_speaks_from_when_to_when_and_the_end_tells_all(settled: StandInServer) -> None:
    with HiggsClient(settled.url) as client:
        with client.stream("seconds=0.4 speakers=Anna,Bob retries=2") as stream:
            chunks = list(stream)
        assert [(chunk.speaker, chunk.part) for chunk in chunks] == [("Anna", 0), ("Bob", 1), ("Anna", 2), ("Bob", 3)]
        assert [(chunk.start, chunk.stop) for chunk in chunks] == [(0.0, 0.1), (0.1, 0.2), (0.2, 0.3), (0.3, 0.4)]
        assert [chunk.report is None for chunk in chunks] == [True, True, True, False]
        speech = client.synthesize("seconds=0.4 speakers=Anna,Bob retries=2")
        assert speech.report is not None
        assert (speech.retries, speech.report.seed, speech.report.voices) == (8, 3, {"Anna": "slt", "Bob": None})
        assert [part.text for part in speech.parts] == ["words 0", "words 1", "words 2", "words 3"]
        plain = client.synthesize("seconds=0.2")
        assert [part.speaker for part in plain.parts] == [None]


def test_messages_travel_as_their_json(settled: StandInServer) -> None:
    messages = [{"role": "user", "content": "seconds=0.1 Grüße"}]
    with HiggsClient(settled.url) as client, client.stream(messages) as stream:
        list(stream)
    order = settled.wait_for(stream.request_id, "start")["order"]
    assert json.loads(order["text"]) == messages
