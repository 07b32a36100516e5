"""A stream that breaks is asked again, and the listener gets what was not heard yet, sample for sample."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from higgs_tts import AsyncHiggsClient, AudioChunk, CUDAFailureError, HiggsClient, HiggsError, ServerUnavailableError
from higgs_tts.resume import PAUSES

from .conftest import Command
from .standin.server import StandInServer
from .test_stream import sine

RATE = 24000
LONG = "seconds=6 chunk=0.1 pace=0.05"


def failing(name: str, times: int, more: str = "") -> str:
    """A text that fails with CUDAFailureError after 0.4 s, so many times; `name` sets it apart from other texts."""
    return f"{name} seconds=2 chunk=0.1 error=CUDAFailureError error_after=4 failures={times} {more}"


def assert_whole(chunks: list[AudioChunk], seconds: float) -> None:
    positions = np.cumsum([0, *(len(chunk.samples) for chunk in chunks)])
    assert [chunk.start_sample for chunk in chunks] == list(positions[:-1])
    assert [chunk.finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in chunks]), sine(seconds))


@pytest.mark.parametrize("times", [1, len(PAUSES)])
def test_a_stream_that_fails_goes_on_where_it_broke(settled: StandInServer, times: int) -> None:
    with HiggsClient(settled.url) as client, client.stream(failing("sync", times)) as stream:
        first = stream.request_id
        chunks = list(stream)
        assert stream.request_id != first
    assert_whole(chunks, 2)


def test_an_async_stream_goes_on_too(settled: StandInServer) -> None:
    async def run() -> list[AudioChunk]:
        async with AsyncHiggsClient(settled.url) as client:
            return [chunk async for chunk in client.stream(failing("async", 1))]

    assert_whole(asyncio.run(run()), 2)


def test_a_seam_may_lie_within_a_chunk(settled: StandInServer) -> None:
    """The second server cuts the stream elsewhere: 4 chunks of 0.1 s were heard, it sends chunks of 0.3 s."""
    with HiggsClient(settled.url) as client:
        assert_whole(list(client.stream(failing("cut", 1, "chunk_again=0.3"))), 2)


def test_a_stream_that_fails_more_often_ends_with_the_error(settled: StandInServer) -> None:
    with HiggsClient(settled.url) as client:
        stream = client.stream(failing("often", 9))
        chunks = [next(stream) for _ in range(4)]
        with pytest.raises(CUDAFailureError, match="told to fail"):
            next(stream)
    assert [chunk.start_sample for chunk in chunks] == [0, 2400, 4800, 7200]


@pytest.mark.parametrize(
    "change",
    ["drift_again=0.02", "seconds_again=0.3", "speakers_again=Anna"],
    ids=["other samples", "too short", "other part"],
)
def test_a_stream_that_is_spoken_differently_ends_with_a_sentence(settled: StandInServer, change: str) -> None:
    with HiggsClient(settled.url) as client:
        stream = client.stream(failing("different", 1, change))
        heard = [next(stream) for _ in range(4)]
        with pytest.raises(HiggsError, match=r"broke after 0\.40 s of audio.*differently") as caught:
            next(stream)
        assert list(stream) == []
    assert (len(heard), caught.value.code, caught.value.retryable) == (4, "not_resumed", True)


def test_rounding_is_no_difference(settled: StandInServer) -> None:
    with HiggsClient(settled.url) as client:
        assert client.synthesize(failing("rounding", 1, "drift_again=0.001")).seconds == 2


@pytest.mark.parametrize("kind", ["OverloadedError", "GenerationTimeoutError", "InvalidRequestError"])
def test_what_would_fail_again_is_not_asked_again(settled: StandInServer, kind: str) -> None:
    with HiggsClient(settled.url) as client:
        stream = client.stream(failing(kind, 1).replace("CUDAFailureError", kind))
        with pytest.raises(HiggsError, match="told to fail"):
            list(stream)


def test_resuming_can_be_switched_off(settled: StandInServer) -> None:
    with HiggsClient(settled.url, resume=False) as client, pytest.raises(CUDAFailureError):
        list(client.stream(failing("off", 1)))


def test_a_server_that_dies_and_comes_back_is_a_pause(own_server: StandInServer) -> None:
    with HiggsClient(own_server.url) as client, client.stream(LONG) as stream:
        chunks = [next(stream)]
        with ThreadPoolExecutor() as pool:
            rest = pool.submit(list, stream)
            own_server.kill()
            own_server.start()
            chunks += rest.result()
    assert_whole(chunks, 6)


def test_the_command_line_speaks_on_unless_told_not_to(
    own_server: StandInServer, command: Command, tmp_path: Path
) -> None:
    running = [command(LONG, "--url", own_server.url, "--quiet", "-o", f"{word}.wav", *words)
               for word, words in (("on", []), ("off", ["--no-resume"]))]  # fmt: skip
    deadline = time.monotonic() + 20
    while own_server.live() < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    own_server.kill()
    own_server.start()
    on, off = (process.communicate(timeout=30) for process in running)
    assert (running[0].returncode, running[1].returncode) == (0, 1), (on, off)
    assert b"broke" in off[1]
    samples, _ = soundfile.read(tmp_path / "on.wav", dtype="float32")
    np.testing.assert_allclose(samples, sine(6), atol=1 / 32767)  # 16 bits round by half a step
    assert not (tmp_path / "off.wav").exists()


def test_a_server_that_stays_away_is_told_with_what_broke(own_server: StandInServer) -> None:
    with HiggsClient(own_server.url, first_chunk_timeout=1.0) as client:
        stream = client.stream(LONG)
        next(stream)
        own_server.kill()
        with pytest.raises(ServerUnavailableError, match=r"broke after \d+\.\d\d s of audio"):
            list(stream)


def test_a_stream_can_be_left_while_its_server_is_away(own_server: StandInServer) -> None:
    client = HiggsClient(own_server.url)
    left, closed = client.stream(LONG), client.stream(LONG)
    next(left), next(closed)
    own_server.kill()
    threading.Timer(1.0, left.cancel).start()
    assert list(left)[-1].finish_reason == "cancelled"
    client.close()
    assert list(closed)[-1].finish_reason == "cancelled"
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("higgs")]
