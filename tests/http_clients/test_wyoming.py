"""The `wyoming` package's client, as Home Assistant uses it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)

from tests.http_clients.sound import LONG, RATE, TEXT

SECONDS = 60.0
VOICE = SynthesizeVoice(name="slt")


async def until(client: AsyncTcpClient, kind: str) -> list[Event]:
    """The events up to one of that kind."""
    events: list[Event] = []
    while not events or events[-1].type != kind:
        event = await asyncio.wait_for(client.read_event(), SECONDS)
        assert event is not None, events
        events.append(event)
    return events


def seconds(events: list[Event]) -> float:
    chunks = [AudioChunk.from_event(event) for event in events if AudioChunk.is_type(event.type)]
    assert {(chunk.rate, chunk.width, chunk.channels) for chunk in chunks} == {(RATE, 2, 1)}
    return sum(chunk.seconds for chunk in chunks)


def test_it_says_what_it_is(wyoming: tuple[str, int], address: str) -> None:
    async def ask() -> Info:
        async with AsyncTcpClient(*wyoming) as client:
            await client.write_event(Describe().event())
            return Info.from_event((await until(client, "info"))[-1])

    (program,) = asyncio.run(ask()).tts
    assert program.supports_synthesize_streaming and program.installed
    assert {"slt", "awb"} <= {voice.name for voice in program.voices}
    assert all("en" in voice.languages for voice in program.voices)


def test_whole_texts_are_spoken_one_after_the_other(wyoming: tuple[str, int], address: str) -> None:
    async def say() -> list[list[Event]]:
        async with AsyncTcpClient(*wyoming) as client:
            for text in (TEXT, "Hello."):
                await client.write_event(Synthesize(text, VOICE).event())
            return [await until(client, "audio-stop") for _ in range(2)]

    long, short = asyncio.run(say())
    assert AudioStart.is_type(long[0].type) and AudioStart.is_type(short[0].type)
    assert 1.5 < seconds(long) < 4 and 0.3 < seconds(short) < 1.5


def test_a_text_is_spoken_while_it_is_written(wyoming: tuple[str, int], address: str) -> None:
    """The first sentence is heard before the last piece is sent; what is said for old servers is not said twice."""

    async def say() -> list[Event]:
        async with AsyncTcpClient(*wyoming) as client:
            await client.write_event(SynthesizeStart(voice=VOICE).event())
            for piece in (*TEXT.split(" "), "Good "):
                await client.write_event(SynthesizeChunk(f"{piece} ").event())
            first = await until(client, "audio-chunk")
            await client.write_event(SynthesizeChunk("morning.").event())
            await client.write_event(Synthesize(f"{TEXT} Good morning.", VOICE).event())
            await client.write_event(SynthesizeStop().event())
            return first + await until(client, "synthesize-stopped")

    events = asyncio.run(say())
    kinds = [event.type for event in events]
    assert kinds[0] == "audio-start" and kinds[-2:] == ["audio-stop", "synthesize-stopped"]
    assert kinds.count("audio-start") == 1 and 2.5 < seconds(events) < 6
    assert SynthesizeStopped.is_type(kinds[-1]) and AudioStop.is_type(kinds[-2])


def test_a_client_that_hangs_up_frees_the_slot(
    wyoming: tuple[str, int], address: str, is_freed: Callable[..., bool]
) -> None:
    async def say() -> None:
        async with AsyncTcpClient(*wyoming) as client:
            await client.write_event(Synthesize(LONG, VOICE).event())
            await until(client, "audio-chunk")

    asyncio.run(say())
    assert is_freed()


@pytest.mark.parametrize(
    "asked",
    [
        Synthesize("Hello.", SynthesizeVoice(name="nobody")),
        Synthesize("<speak/>", VOICE, "ssml"),
        Synthesize(" ", VOICE),
    ],
)
def test_a_refusal_is_an_error_and_an_end(wyoming: tuple[str, int], address: str, asked: Synthesize) -> None:
    async def say() -> list[Event]:
        async with AsyncTcpClient(*wyoming) as client:
            await client.write_event(asked.event())
            events = await until(client, "audio-stop")
            await client.write_event(Describe().event())  # the connection stays
            return events + await until(client, "info")

    events = asyncio.run(say())
    (error,) = [Error.from_event(event) for event in events if Error.is_type(event.type)]
    assert error.text.count("\n") == 0 and error.code
