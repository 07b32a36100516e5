"""Several servers behind one client: whoever has fewest speaks, and another takes over from one that goes."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from higgs_tts import HiggsClient, InvalidRequestError, OverloadedError, ServerUnavailableError, fleet

from .standin.server import StandInServer
from .test_resume import assert_whole

LONG = "seconds=3 chunk=0.1 pace=0.1"
NOBODY = "127.0.0.1:1"


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[StandInServer]]:
    with ExitStack() as running:
        started = [StandInServer(tmp_path / name) for name in ("a", "b") if not (tmp_path / name).mkdir()]
        for server in started:
            running.callback(server.kill)
        yield started


def url(servers: list[StandInServer]) -> str:
    return ",".join(server.url for server in servers)


def spoken_by(server: StandInServer) -> set[str]:
    return {note["id"] for note in server.events()}


def test_streams_are_spread_evenly_and_end_where_they_are_spoken(servers: list[StandInServer]) -> None:
    with HiggsClient([server.url for server in servers]) as client:
        streams = [client.stream(LONG) for _ in range(8)]
        for stream in streams:
            next(stream)
        assert [server.live() for server in servers] == [4, 4]
        for stream in streams:
            stream.close()
            server = next(one for one in servers if stream.request_id in spoken_by(one))
            for event in ("cancel", "end"):
                server.wait_for(stream.request_id, event)
        assert [server.live() for server in servers] == [0, 0]


def test_streams_of_a_killed_server_go_on_at_the_other(servers: list[StandInServer]) -> None:
    with HiggsClient(url(servers)) as client:
        streams = [client.stream(LONG) for _ in range(6)]
        heard = [[next(stream)] for stream in streams]
        servers[0].kill()
        for first, stream in zip(heard, streams, strict=True):
            assert_whole([*first, *stream], 3)
        assert len(spoken_by(servers[1])) == 6
        assert client.synthesize("seconds=1").finish_reason == "stop"


def test_a_server_that_is_back_speaks_again(servers: list[StandInServer]) -> None:
    with HiggsClient(url(servers)) as client:
        servers[0].kill()
        for _ in range(4):
            client.synthesize("seconds=0.1")
        assert len(spoken_by(servers[1])) == 4
        servers[0].start()
        until = time.monotonic() + 20
        while not spoken_by(servers[0]) and time.monotonic() < until:
            client.synthesize("seconds=0.1")
        assert spoken_by(servers[0])


@pytest.mark.parametrize("order", [1, -1])
def test_a_server_that_is_not_there_costs_nobody_a_stream(server: StandInServer, order: int) -> None:
    with HiggsClient([NOBODY, server.url][::order]) as client:
        assert client.sample_rate == 24000
        assert client.voices()
        for _ in range(4):
            assert client.synthesize("seconds=0.1").finish_reason == "stop"


def test_when_none_is_there_it_is_said_in_a_sentence() -> None:
    with (
        HiggsClient(f"{NOBODY},127.0.0.1:2") as client,
        pytest.raises(ServerUnavailableError, match="No server answers"),
    ):
        client.synthesize("Hello.")


def test_what_has_no_room_goes_to_another(servers: list[StandInServer]) -> None:
    with HiggsClient(url(servers)) as client, HiggsClient(servers[0].url) as other:
        streams = [other.stream(LONG) for _ in range(3)]
        for _ in range(100):  # until the client has one there, and so would take the first
            if servers[1].live():
                break
            stream = client.stream(LONG)
            next(stream)
            if servers[1].live():
                streams.append(stream)
            else:
                stream.close()
        crowded = "seconds=0.1 room=3"
        assert client.synthesize(crowded).finish_reason == "stop"
        for server in servers:
            assert [note["order"]["text"] for note in server.events() if note["event"] == "start"].count(crowded) == 1
        with pytest.raises(OverloadedError):
            other.synthesize(crowded)
        for stream in streams:
            stream.close()


def test_a_wrong_request_is_refused_once(servers: list[StandInServer]) -> None:
    with HiggsClient(url(servers)) as client, pytest.raises(InvalidRequestError):
        client.synthesize("error=InvalidRequestError")
    assert sum(len(spoken_by(server)) for server in servers) <= 1


def test_a_name_is_all_its_addresses_and_follows_them(
    servers: list[StandInServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    where = {"speech.test": [servers[0].url]}
    monkeypatch.setattr(fleet, "addresses_of", lambda name, port: where.get(name, []))
    monkeypatch.setattr(fleet, "RESOLVE_SECONDS", 0.1)
    monkeypatch.setattr(fleet, "LOOK_SECONDS", 0.1)
    with HiggsClient("dns:///speech.test:1") as client:
        stream = client.stream(LONG)
        chunks = [next(stream)]
        where["speech.test"] = [servers[1].url]
        until = time.monotonic() + 20
        while not spoken_by(servers[1]) and time.monotonic() < until:
            client.synthesize("seconds=0.1")
        where["speech.test"] = []  # nobody knows the name: the old addresses are kept
        assert client.synthesize("seconds=0.1").finish_reason == "stop"
        assert_whole([*chunks, *stream], 3)
    with (
        HiggsClient("dns:///nobody.test:1") as client,
        pytest.raises(ServerUnavailableError, match="No server is behind"),
    ):
        client.synthesize("Hello.")


@pytest.mark.parametrize("wrong", ["", "localhost", "a:1,b", "a:1,,b:2", "dns:///a", "dns://b:1/a:1"])
def test_urls_that_are_none(wrong: str) -> None:
    with pytest.raises(ServerUnavailableError, match="HOST:PORT"):
        HiggsClient(wrong)


@pytest.mark.parametrize(
    "wrong",
    ["dns:///a:0", "dns:///a:65536", "dns:///a:1,b:2", ["b:2", "dns:///a:1"], "dns:///:1", "dns:///a:1,dns:///b:1"],
)
def test_a_name_is_one_and_has_a_port(wrong: str | list[str]) -> None:
    with pytest.raises(ServerUnavailableError, match="is not one dns:///NAME:PORT") as caught:
        HiggsClient(wrong)
    assert not caught.value.retryable
    HiggsClient(["dns:8001", "mydns:8001"]).close()


def test_a_names_addresses_are_of_one_family() -> None:
    assert fleet.addresses_of("localhost", "8001") in (["127.0.0.1:8001"], ["[::1]:8001"])
    assert fleet.addresses_of("::1", "8001") == ["[::1]:8001"]
    assert fleet.addresses_of("nobody.invalid", "8001") == []
