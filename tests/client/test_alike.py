"""What ordinary and asyncio code may expect alike."""

import asyncio
import inspect
import pickle
import time
from collections.abc import Callable
from typing import Any

import higgs_tts
import pytest
from higgs_tts import (
    AsyncHiggsClient,
    GenerationTimeoutError,
    HiggsClient,
    HiggsError,
    InvalidRequestError,
    Reference,
    ServerUnavailableError,
)

from .conftest import CLIENT
from .standin.server import StandInServer

LONG = "seconds=60 chunk=0.1 pace=0.05"
METHODS = ["stream", "synthesize", "voices", "voice", "add_voice", "remove_voice", "close"]


@pytest.mark.parametrize("name", METHODS)
def test_the_methods_take_the_same_and_are_documented_the_same(name: str) -> None:
    sync, other = getattr(HiggsClient, name), getattr(AsyncHiggsClient, name)
    assert list(inspect.signature(sync).parameters.values()) == list(inspect.signature(other).parameters.values())
    assert sync.__doc__
    assert other.__doc__


def test_both_clients_and_streams_are_constructed_and_closed_alike() -> None:
    assert inspect.signature(HiggsClient) == inspect.signature(AsyncHiggsClient)
    for name in ("request_id", "started_at", "cancel", "close"):
        assert hasattr(higgs_tts.SpeechStream, name)
        assert hasattr(higgs_tts.AsyncSpeechStream, name)


@pytest.mark.parametrize("text", ["", " \n", "\t", [], "\u2003"])
def test_an_empty_text_is_refused_by_the_call_of_either(text: Any) -> None:
    async def run() -> None:
        async with AsyncHiggsClient("localhost:1") as client:
            client.stream(text)

    with pytest.raises(InvalidRequestError, match="text is empty"):
        asyncio.run(run())
    with HiggsClient("localhost:1") as client, pytest.raises(InvalidRequestError, match="text is empty"):
        client.stream(text)


def test_a_text_in_pieces_is_given_to_a_session_of_either(settled: StandInServer) -> None:
    """Of a session's type also for mypy, which knows no `interrupt` of a stream."""

    async def run() -> None:
        async with AsyncHiggsClient(settled.url) as client:
            async with client.stream(iter([LONG])) as pieces, client.session() as session:
                for one in (pieces, session):
                    one.interrupt()
                    assert type(one) is higgs_tts.AsyncSpeechSession
            async with client.stream(LONG) as whole:
                assert type(whole) is higgs_tts.AsyncSpeechStream

    asyncio.run(run())
    with HiggsClient(settled.url) as client:
        with client.stream(iter([LONG])) as pieces, client.session() as session:
            for one in (pieces, session):
                one.interrupt()
                assert type(one) is higgs_tts.SpeechSession
        with client.stream(LONG) as whole:
            assert type(whole) is higgs_tts.SpeechStream


def test_the_request_is_sent_by_the_call_and_not_by_the_first_chunk(settled: StandInServer) -> None:
    async def run() -> None:
        async with AsyncHiggsClient(settled.url) as client, client.stream(LONG) as stream:
            await asyncio.to_thread(settled.wait_for, stream.request_id, "start")

    asyncio.run(run())
    with HiggsClient(settled.url) as client, client.stream(LONG) as stream:
        settled.wait_for(stream.request_id, "start")


def test_an_async_call_returns_before_the_server_answers() -> None:
    async def run() -> float:
        async with AsyncHiggsClient("127.0.0.1:9", connect_timeout=5) as client:
            started = time.monotonic()
            stream = client.stream("hello")
            took = time.monotonic() - started
            with pytest.raises(ServerUnavailableError) as caught:
                await anext(stream)
            assert caught.value.request_id is None
            return took

    assert asyncio.run(run()) < 1


def test_an_async_stream_cancelled_before_it_was_sent_ends_as_cancelled(settled: StandInServer) -> None:
    async def run() -> tuple[str, list[Any]]:
        async with AsyncHiggsClient(settled.url) as client:
            stream = client.stream(LONG)
            stream.cancel()
            return stream.request_id, [chunk async for chunk in stream]

    request_id, chunks = asyncio.run(run())
    assert chunks[-1].finish_reason == "cancelled"
    assert [note for note in settled.events(request_id) if note["event"] == "end"] or not settled.events(request_id)


def test_a_bad_reference_is_refused_by_both_and_costs_the_server_nothing(settled: StandInServer) -> None:
    before = len(settled.events())

    async def run() -> None:
        async with AsyncHiggsClient(settled.url) as client:
            await client.synthesize("hello", reference=Reference("missing.wav"))

    with pytest.raises(higgs_tts.AudioFormatError):
        asyncio.run(run())
    with HiggsClient(settled.url) as client, pytest.raises(higgs_tts.AudioFormatError):
        client.synthesize("hello", reference=Reference("missing.wav"))
    assert len(settled.events()) == before


def test_a_closed_client_refuses_and_its_streams_end(settled: StandInServer) -> None:
    async def run() -> str | None:
        client = AsyncHiggsClient(settled.url)
        stream = client.stream(LONG)
        await anext(stream)
        await client.close()
        await client.close()
        with pytest.raises(HiggsError, match="closed"):
            client.stream("hello")
        return [chunk async for chunk in stream][-1].finish_reason

    assert asyncio.run(run()) == "cancelled"
    client = HiggsClient(settled.url)
    stream = client.stream(LONG)
    next(stream)
    client.close()
    client.close()
    with pytest.raises(HiggsError, match="closed") as caught:
        client.stream("hello")
    assert (caught.value.code, caught.value.retryable) == ("client_closed", False)
    assert list(stream)[-1].finish_reason == "cancelled"


def test_a_call_has_a_timeout_of_its_own(settled: StandInServer) -> None:
    async def run() -> None:
        async with AsyncHiggsClient(settled.url) as client:
            assert (await client.synthesize("seconds=0.2", timeout=20)).seconds == 0.2
            await client.synthesize(LONG, timeout=0.5)

    with pytest.raises(GenerationTimeoutError, match="timeout"):
        asyncio.run(run())
    with HiggsClient(settled.url) as client:
        assert client.synthesize("seconds=0.2", timeout=20).seconds == 0.2
        stream = client.stream(LONG, timeout=0.5)
        with pytest.raises(GenerationTimeoutError) as caught:
            list(stream)
        settled.wait_for(stream.request_id, "cancel")
        assert (caught.value.request_id, caught.value.code) == (stream.request_id, "generation_timeout")
        assert client.voices(timeout=20)


def test_a_timeout_leaves_what_has_arrived(settled: StandInServer) -> None:
    with HiggsClient(settled.url) as client:
        stream = client.stream("seconds=1 chunk=0.1", timeout=1.5)
        settled.wait_for(stream.request_id, "end")
        time.sleep(1.6)
        assert sum(len(chunk.samples) for chunk in stream) == 24000


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "5", True])
@pytest.mark.parametrize(
    "call",
    [
        lambda client, timeout: client.stream("hi", timeout=timeout),
        lambda client, timeout: client.synthesize("hi", timeout=timeout),
        lambda client, timeout: client.voices(timeout=timeout),
        lambda client, timeout: client.add_voice("me", timeout=timeout),
    ],
)
def test_an_impossible_timeout_of_a_call_is_refused(call: Callable[..., Any], timeout: Any) -> None:
    with HiggsClient("localhost:1") as client, pytest.raises(InvalidRequestError, match="timeout is"):
        call(client, timeout)


CODES = {
    "ModelLoadingError": ("model_loading", False),
    "AudioTokenizationError": ("audio_tokenization", True),
    "GenerationTimeoutError": ("generation_timeout", True),
    "MemoryExhaustionError": ("memory_exhaustion", True),
    "CUDAFailureError": ("cuda_failure", True),
    "AudioFormatError": ("format_error", False),
    "InvalidRequestError": ("invalid_request", False),
    "OverloadedError": ("overloaded", True),
}


@pytest.mark.parametrize("name", CODES)
def test_an_error_of_the_server_carries_code_request_and_whether_to_try_again(
    settled: StandInServer, name: str
) -> None:
    with HiggsClient(settled.url) as client:
        stream = client.stream(f"seconds=1 error={name} error_after=1")
        with pytest.raises(getattr(higgs_tts, name)) as caught:
            list(stream)
    error = caught.value
    assert (error.code, error.retryable) == CODES[name]
    assert error.request_id == stream.request_id
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def test_the_readme_lists_every_error_with_its_code() -> None:
    lines = [
        line.split("|")[1:4] for line in (CLIENT / "README.md").read_text("utf-8").splitlines() if "Error`" in line[:40]
    ]
    listed = {name.split("`")[1]: (codes.split("`")[1], "yes" in again.split(";")[0]) for name, codes, again in lines}
    errors = [getattr(higgs_tts, name) for name in higgs_tts.__all__ if name.endswith("Error")]
    assert listed == {error.__name__: (error.code, error.retryable) for error in errors}
