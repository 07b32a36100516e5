"""Whoever loses interest frees the server."""

import asyncio
import contextlib
import gc
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from higgs_tts import AsyncHiggsClient, HiggsClient, HiggsError

from .conftest import CLIENT
from .standin.server import StandInServer

LONG = "seconds=60 chunk=0.1 pace=0.05"


def test_breaking_out_of_a_stream_ends_the_generation(settled: StandInServer) -> None:
    client = HiggsClient(settled.url)
    for chunk in client.stream(LONG):
        assert chunk.start_sample == 0
        break
    last = [note for note in settled.events() if note["event"] == "start"][-1]
    settled.wait_for(last["id"], "end", seconds=2)
    settled.wait_for(last["id"], "cancel", seconds=0)


def test_leaving_the_with_block_waits_for_the_end(settled: StandInServer) -> None:
    with HiggsClient(settled.url) as client:
        with client.stream(LONG) as stream:
            next(stream)
        settled.wait_for(stream.request_id, "end", seconds=0.5)


def test_a_cancelled_stream_stays_readable(settled: StandInServer) -> None:
    with HiggsClient(settled.url) as client:
        stream = client.stream(LONG)
        next(stream)
        stream.cancel()
        assert list(stream)[-1].finish_reason == "cancelled"


def test_cancelling_a_finished_stream_tells_the_server_nothing(settled: StandInServer) -> None:
    with HiggsClient(settled.url) as client, client.stream("seconds=0.2") as stream:
        list(stream)
        stream.cancel()
    assert {note["event"] for note in settled.events(stream.request_id)} == {"start", "watch", "end"}


def test_closing_the_client_ends_its_streams_and_not_those_of_another(settled: StandInServer) -> None:
    with HiggsClient(settled.url) as other:
        kept = other.stream("seconds=1 pace=0.1")
        client = HiggsClient(settled.url)
        streams = [client.stream(LONG) for _ in range(3)]
        next(streams[0])
        client.close()
        for stream in streams:
            settled.wait_for(stream.request_id, "end", seconds=1)
        assert list(kept)[-1].finish_reason == "stop"


def test_a_stream_in_a_reference_cycle_is_ended_by_the_garbage_collector(settled: StandInServer) -> None:
    with HiggsClient(settled.url) as client:
        stream = client.stream(LONG)
        next(stream)
        request_id = stream.request_id
        stream.itself = stream  # type: ignore[attr-defined]
        del stream
        gc.collect()
        settled.wait_for(request_id, "end", seconds=2)


def test_cancelling_a_task_ends_the_generation(settled: StandInServer) -> None:
    async def run() -> None:
        async with AsyncHiggsClient(settled.url) as client:
            stream = client.stream(LONG)

            async def listen() -> None:
                async for _ in stream:
                    heard.set()

            heard = asyncio.Event()
            task = asyncio.create_task(listen())
            await heard.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert stream.request_id is not None
            settled.wait_for(stream.request_id, "end", seconds=0.5)
            settled.wait_for(stream.request_id, "cancel", seconds=0)

    asyncio.run(run())


@pytest.mark.parametrize("steps", range(6))
def test_a_cancellation_is_not_lost_to_an_event_of_the_same_moment(settled: StandInServer, steps: int) -> None:
    """steps: of the loop between the two. The task has its chunk by then, or is cancelled."""

    async def run() -> None:
        async with AsyncHiggsClient(settled.url) as client:
            stream = client.stream(f"{LONG} stall_after=1")
            chunk = await anext(stream)
            task = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0.05)
            stream._events.put_nowait(chunk)
            for _ in range(steps):
                await asyncio.sleep(0)
            if task.cancel():
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                assert task.result() is chunk

    asyncio.run(run())


def test_a_task_cancelled_between_chunks_ends_the_generation(settled: StandInServer) -> None:
    async def listen(client: AsyncHiggsClient) -> None:
        async for _ in client.stream(LONG):
            await asyncio.sleep(60)

    async def run() -> None:
        async with AsyncHiggsClient(settled.url) as client:
            before = settled.live()
            task = asyncio.create_task(listen(client))
            while settled.live() == before:
                await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while settled.live() > before:
                await asyncio.sleep(0.02)

    asyncio.run(asyncio.wait_for(run(), 5))


def test_breaking_out_of_an_async_stream_ends_the_generation(settled: StandInServer) -> None:
    async def run() -> None:
        async with AsyncHiggsClient(settled.url) as client:
            async for _ in client.stream(LONG):
                break
            last = [note for note in settled.events() if note["event"] == "start"][-1]
            settled.wait_for(last["id"], "cancel", seconds=1)

    asyncio.run(run())


def test_breaking_out_as_the_loop_ends_leaves_nothing_behind(settled: StandInServer) -> None:
    async def run() -> None:
        client = AsyncHiggsClient(settled.url)
        async for _ in client.stream(LONG):
            break

    asyncio.run(run())


ABANDONING = {
    "an exception": "raise SystemExit(3)",
    "the end of the script": "pass",
    "a signal": "import signal; signal.raise_signal(signal.SIGINT)",
    # As the interpreter is at its exit from Python 3.12 on.
    "no more threads": "import threading; threading._start_new_thread = refuse",
}


@pytest.mark.parametrize("ending", ABANDONING)
def test_a_script_that_ends_with_an_open_stream_ends_its_generation(settled: StandInServer, ending: str) -> None:
    script = f"""
        from higgs_tts import HiggsClient
        stream = HiggsClient("{settled.url}", watch=False).stream("{LONG}")
        next(stream)
        print(stream.request_id, flush=True)

        def refuse(*_):
            raise RuntimeError("can't create new thread at interpreter shutdown")

        {ABANDONING[ending]}
    """
    result = run_script(script)
    assert b"can't create" not in result.stderr
    settled.wait_for(result.stdout.decode().strip(), "cancel", seconds=1)
    settled.wait_for(result.stdout.decode().strip(), "end", seconds=1)


def test_a_killed_client_frees_the_server(settled: StandInServer) -> None:
    script = f"""
        import os, signal
        from higgs_tts import HiggsClient
        stream = HiggsClient("{settled.url}").stream("{LONG}")
        next(stream)
        print(stream.request_id, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    result = run_script(script)
    assert result.returncode == -signal.SIGKILL
    settled.wait_for(result.stdout.decode().strip(), "vanished", seconds=1)
    settled.wait_for(result.stdout.decode().strip(), "end", seconds=1)


def test_without_the_watch_speech_and_cancel_still_work(settled: StandInServer) -> None:
    with HiggsClient(settled.url, watch=False) as client:
        assert client.synthesize("seconds=0.2").finish_reason == "stop"
        with client.stream(LONG) as stream:
            next(stream)
        settled.wait_for(stream.request_id, "end", seconds=0.5)
    events = [note["event"] for note in settled.events(stream.request_id)]
    assert events == ["start", "cancel", "end"]


def test_the_server_stops_soon_after_streams_were_abandoned(own_server: StandInServer) -> None:
    with HiggsClient(own_server.url) as client:
        for pause in (0.0, 0.0, 0.05, 0.1):
            stream = client.stream(LONG)
            time.sleep(pause)
            del stream
        for text in (
            "error=OverloadedError",
            "prompt_error",
            "seconds=1 error=CUDAFailureError error_after=5",
        ):
            with contextlib.suppress(HiggsError):
                client.synthesize(text)
    deadline = time.monotonic() + 3
    while own_server.live() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert own_server.live() == 0
    assert own_server.stop() < 10
    assert re.search(r"Found 0 model versions that have in-flight", own_server.log())


def run_script(script: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={"PYTHONPATH": str(CLIENT), "PATH": str(Path(sys.executable).parent)},
        capture_output=True, timeout=15, check=False,
    )  # fmt: skip
