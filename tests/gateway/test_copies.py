"""Copies of speech on their way to a bucket that is slow, fails or hangs: memory is bounded, and the log says why."""

from __future__ import annotations

import asyncio
import hashlib
import json
import struct
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from higgs_tts import GenerationParams
from higgs_tts.storage import Storage

from gateway.copies import Copy
from gateway.encoding import Output
from gateway.meaning import Meant
from gateway.metrics import Metrics, Spoken
from gateway.settings import Settings
from gateway.store import Store
from tests.buckets import BUCKET, SECRET, Buckets

ADDRESS = f"s3://{BUCKET}/heard"
MEANT = Meant(GenerationParams(seed=7, scene="Ein Café – 雨 50 %"), "slt", None, "")
END = {"finish-reason": "stop", "audio-seconds": "1.500"}
BLOCK = bytes(1 << 20)


class House:
    """A store with its metrics, and copies of speeches of its own."""

    def __init__(self, **settings: Any) -> None:
        self.metrics = Metrics()
        self.store = Store(Settings(**{"store": ADDRESS, **settings}), self.metrics)

    def begun(self, meant: Meant = MEANT, form: str = "mp3", session: str | None = "s-1", request: str = "r-1") -> Copy:
        spoken = Spoken(self.metrics, request, key="alice")
        return self.store.begin(spoken, meant, Output(form, 24_000), 1.0, session, "b00", "Grüße.")

    def counted(self, outcome: str) -> float:
        return self.metrics.registry.get_sample_value("higgs_gateway_stored_total", {"outcome": outcome}) or 0

    @property
    def waiting(self) -> float:
        """Bytes."""
        return self.metrics.registry.get_sample_value("higgs_gateway_store_waiting_bytes") or 0

    async def until_over(self, *copies: Copy) -> None:
        deadline = time.monotonic() + 60
        while self.waiting or not all(copy.is_over for copy in copies):
            assert time.monotonic() < deadline, "it still waits"
            await asyncio.sleep(0.02)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buckets that do not answer are given up soon."""
    monkeypatch.setattr("gateway.store.RETRY_SECONDS", 2.0)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes is waited for, however busy this machine is."""
    monkeypatch.setattr("gateway.store.PATIENCE_SECONDS", 60.0)


def stored() -> dict[str, Any]:
    """What the bucket has, by name."""
    return {one.name: one for one in Storage(ADDRESS).names()}


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def test_what_was_heard_is_stored_with_all_that_is_known_of_it(buckets: Buckets, patient: None) -> None:
    async def store() -> tuple[Copy, dict[str, str], dict[str, Any]]:
        house = House()
        copy = house.begun()
        copy.add(b"so")
        copy.add(b"und")
        where = await copy.headers()
        copy.end(END)
        told = await copy.word()
        await house.until_over(copy)
        assert house.counted("stored") == 1
        return copy, where, told

    copy, where, told = asyncio.run(store())
    assert where == {"x-stored": f"{ADDRESS}/{copy.name}", "x-stored-url": told["stored_url"]}
    assert told["stored"] is True and told["stored_address"] == where["x-stored"]
    with urllib.request.urlopen(told["stored_url"]) as answer:
        assert (answer.read(), answer.headers["content-type"]) == (b"sound", "audio/mpeg")
    found = Storage(ADDRESS).find(copy.name)
    assert found is not None and found.metadata == {
        **END,
        "text-sha256": hashlib.sha256("Grüße.".encode()).hexdigest(),
        "voice": "slt",
        "seed": "7",
        "model": "higgs-audio-v2",
        "bundle": "b00",
        "format": "mp3",
        "sample-rate": "24000",
        "speed": "1",
        "request-id": "r-1",
        "session-id": "s-1",
        "options": json.dumps({"seed": 7, "scene": "Ein Café – 雨 50 %"}, ensure_ascii=False),
    }
    assert set(stored()) == {copy.name}


def test_a_whole_wav_says_how_long_it_is(buckets: Buckets) -> None:
    head = b"RIFF\xff\xff\xff\xffWAVE" + bytes(28) + b"\xff\xff\xff\xff"

    async def store() -> str:
        house = House()
        copy = house.begun(form="wav")
        copy.add(head + b"1234")
        copy.end(END)
        await house.until_over(copy)
        return copy.name

    data = Storage(ADDRESS).read(asyncio.run(store()))
    assert data[44:] == b"1234" and len(data) == 48
    assert struct.unpack("<I", data[4:8])[0] == 40 and struct.unpack("<I", data[40:44])[0] == 4


@pytest.mark.parametrize("address", [ADDRESS, ""])
@pytest.mark.parametrize("is_long", [False, True])
def test_what_does_not_fit_an_object_stands_beside_it(
    buckets: Buckets, tmp_path: Path, address: str, is_long: bool
) -> None:
    scene = "" if is_long else "雨" * 900

    async def store(storage: Storage) -> Copy:
        house = House(store=storage.address)
        copy = house.begun(replace(MEANT, params=GenerationParams(scene=scene or None)))
        for number in range(20 if is_long else 1):
            copy.add(BLOCK)
            if number == 10:
                await until(lambda: bool(buckets.requests) or any(tmp_path.rglob("*.mp3*")))
        copy.end(END)
        await house.until_over(copy)
        assert house.counted("stored") == 1
        return copy

    storage = Storage(address or str(tmp_path))
    copy = asyncio.run(store(storage))
    found = storage.find(copy.name)
    assert found is not None and found.size == (20 if is_long else 1) * len(BLOCK)
    assert found.metadata["more"] == copy.name.rpartition("/")[2] + ".json"
    missing = END.keys() if is_long else {"options"}
    assert not missing & found.metadata.keys() and found.metadata["voice"] == "slt"
    everything = json.loads(storage.read(f"{copy.name}.json"))
    assert everything == END | everything and json.loads(everything["options"]) == ({"scene": scene} if scene else {})
    assert everything.items() >= {key: value for key, value in found.metadata.items() if key != "more"}.items()


def test_a_speech_that_is_left_leaves_nothing(buckets: Buckets) -> None:
    async def leave(house: House, blocks: int) -> None:
        copy = house.begun()
        for _ in range(blocks):
            copy.add(BLOCK)
        if blocks > 8:
            await until(lambda: buckets.counted("PUT") == 1)
            await asyncio.sleep(0.3)  # no thread is at work on it
        copy.leave()
        copy.end(END)
        copy.add(BLOCK)
        assert (await copy.word())["stored"] is False
        await house.until_over(copy)

    house = asyncio.run(_with(leave, 1))
    assert buckets.requests == [] and house.counted("dropped") == 1
    house = asyncio.run(_with(leave, 10))
    assert stored() == {} and buckets.unfinished_uploads == 0 and buckets.counted("DELETE") == 1


async def _with(work: Callable[..., Any], *arguments: Any) -> House:
    house = House()
    await work(house, *arguments)
    return house


def test_every_tenth_call_may_fail(buckets: Buckets) -> None:
    buckets.fail_every = 10

    async def store() -> list[Copy]:
        house = House()
        copies = [house.begun(request=f"r-{number}") for number in range(40)]
        for number, copy in enumerate(copies):
            for _ in range(18 if number % 10 == 0 else 1):
                copy.add(bytes([number]) * len(BLOCK))
                await asyncio.sleep(0)
            copy.end(END)
        await house.until_over(*copies)
        assert house.counted("stored") == 40 and house.counted("failed") == 0
        return copies

    copies = asyncio.run(store())
    buckets.fail_every = 0
    for number, copy in enumerate(copies):
        assert Storage(ADDRESS).read(copy.name) == bytes([number]) * len(BLOCK) * (18 if number % 10 == 0 else 1)
    assert buckets.unfinished_uploads == 0


def test_a_frozen_bucket_holds_up_nobody_and_takes_no_more_memory_than_it_may(
    buckets: Buckets, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    most = 64 * len(BLOCK)
    buckets.open_gate.clear()

    async def speak() -> House:
        house = House(store_bytes=most)
        copies = [house.begun(request=f"r-{number}") for number in range(60)]
        slowest = 0.0
        for _ in range(10):
            for copy in copies:
                started = time.perf_counter()
                copy.add(bytes(BLOCK))
                slowest = max(slowest, time.perf_counter() - started)
                assert house.waiting <= most
            await asyncio.sleep(0)
        for copy in copies:
            copy.end(END)
        told = [await copy.word() for copy in copies]
        assert not any(one["stored"] for one in told)
        assert {one["stored_error"] for one in told} >= {"Too much waits for the store already."}
        await house.until_over(*copies)
        buckets.open_gate.set()
        after = house.begun()
        after.add(b"sound")
        after.end(END)
        await house.until_over(after)
        assert house.counted("full") + house.counted("failed") == 60 and house.counted("stored") == 1
        return house

    house = asyncio.run(speak())
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("gateway")]
    assert len(lines) == 60 and len({line.split()[4] for line in lines}) == 60, "one for each"
    full = [line for line in lines if line.endswith("Too much waits for the store already.")]
    assert len(full) == house.counted("full") > 0
    assert not any(SECRET in line or "Signature" in line or "\n" in line for line in lines)


def test_only_the_first_waits_for_a_frozen_bucket(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.store.PATIENCE_SECONDS", 2.0)
    buckets.open_gate.clear()

    async def speak() -> None:
        house = House()
        copies = [house.begun() for _ in range(10)]
        for copy in copies:
            copy.add(b"sound")
            copy.end(END)
        started = time.monotonic()
        told = [await copy.word() for copy in copies]
        assert time.monotonic() - started < 10, "each waited"
        assert {one["stored_error"] for one in told} == {"The store has not answered yet."}
        buckets.open_gate.set()
        await house.until_over(*copies)
        assert all([(await copy.word())["stored"] for copy in copies])

    asyncio.run(speak())


def test_credentials_that_do_not_come_hold_up_nobody(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    came, asked = threading.Event(), []

    def presigned(self: Storage, name: str, seconds: float) -> str:
        asked.append(name)
        came.wait(60)
        return f"signed {name}"

    monkeypatch.setattr(Storage, "presigned", presigned)

    async def begin() -> None:
        house = House()
        started = time.monotonic()
        headers = [await house.begun().headers() for _ in range(20)]
        assert time.monotonic() - started < 10, "each waited a second"
        assert len(asked) == 1 and not any("x-stored-url" in one for one in headers)
        came.set()
        await until(lambda: not house.store.signing.is_lost)
        monkeypatch.setattr("gateway.store.PATIENCE_SECONDS", 60.0)
        copy = house.begun()
        assert (await copy.headers())["x-stored-url"] == f"signed {copy.name}"
        assert len(asked) == 2, "nobody's waited for the first"

    asyncio.run(begin())


def test_a_bucket_that_is_not_there_is_told_at_once(buckets: Buckets, caplog: pytest.LogCaptureFixture) -> None:
    async def store() -> dict[str, Any]:
        house = House(store="s3://nobody/heard")
        copy = house.begun()
        copy.add(b"sound")
        copy.end(END)
        await house.until_over(copy)
        return await copy.word()

    told = asyncio.run(store())
    assert (told["stored"], told["stored_error"]) == (
        False,
        "The store could not be reached or used; the gateway's log says why.",
    )
    (record,) = [one for one in caplog.records if one.name == "gateway.store"]
    assert "request r-1 " in record.getMessage() and record.getMessage().endswith(
        "There is no bucket s3://nobody/heard."
    )


@pytest.mark.parametrize("is_frozen", [False, True])
def test_a_gateway_that_stops_lets_uploads_end(
    buckets: Buckets, caplog: pytest.LogCaptureFixture, is_frozen: bool
) -> None:
    async def store() -> House:
        house = House()
        if is_frozen:
            buckets.open_gate.clear()
        copies = [house.begun(request=f"r-{number}") for number in range(20)]
        for copy in copies:
            copy.add(BLOCK)
            copy.end(END)
        left = house.begun()
        left.add(BLOCK)
        await house.store.close(1 if is_frozen else 60)
        assert all(copy.is_over for copy in [*copies, left])
        return house

    house = asyncio.run(store())
    assert house.counted("stopped" if is_frozen else "stored") == 20 and house.counted("dropped") == 1
    assert len(stored() if not is_frozen else ()) == (0 if is_frozen else 20)
    said = [record for record in caplog.records if "is being stopped" in record.getMessage()]
    assert len(said) == (20 if is_frozen else 0)


def test_nobody_else_learns_where_a_folder_is(tmp_path: Path, patient: None) -> None:
    async def store() -> tuple[Copy, dict[str, str]]:
        house = House(store=str(tmp_path / "heard"))
        copy = house.begun()
        copy.add(b"sound")
        copy.end(END)
        await house.until_over(copy)
        return copy, await copy.headers() | await copy.last_headers()

    copy, headers = asyncio.run(store())
    assert headers == {"x-stored": copy.name, "x-was-stored": "true"}
    assert (tmp_path / "heard" / copy.name).read_bytes() == b"sound"
