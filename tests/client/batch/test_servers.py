"""Batches on several servers: dead ones, ones that come back, and names that stand for many."""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from higgs_tts.cli import batch
from higgs_tts.cli import servers as servers_module
from higgs_tts.cli.command import main

from tests.certificates import make_certificates

from ..conftest import Command
from ..proxy import TOKEN, TokenProxy
from ..standin.server import StandInServer
from ..test_command import finish
from .conftest import Write, journal

Names = Callable[..., None]


@pytest.fixture
def other_server(tmp_path: Path, own_server: StandInServer) -> Iterator[StandInServer]:
    """One more that the test may kill, on the same port of another address of the loopback."""
    (tmp_path / "other").mkdir()
    standin = StandInServer(tmp_path / "other", "127.0.0.2", own_server.grpc_port)
    yield standin
    standin.kill()


@pytest.fixture
def dead() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Call with a name and what it stands for from now on; `localhost` is asked again every tenth of a second."""
    monkeypatch.setattr(servers_module, "LOOK_UP_SECONDS", 0.1)
    known: dict[str, tuple[str, ...]] = {}
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if host not in known:
            return real(host, port, *rest, **more)
        if not known[host]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in known[host]] + [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0))  # as many servers have
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return lambda name, *addresses: known.__setitem__(name, addresses)


def words(*urls: str) -> list[str]:
    return ["batch", "m.jsonl", "--out", "out", *(word for url in urls for word in ("--url", url))]


def items(count: int, script: str) -> list[dict[str, Any]]:
    return [{"id": f"{number:02}", "text": f"{script} n={number}"} for number in range(count)]


def started(server: StandInServer) -> int:
    return sum(note["event"] == "start" for note in server.events())


def test_each_server_is_kept_full(
    own_server: StandInServer, other_server: StandInServer, in_empty_folder: None, tmp_path: Path, write: Write
) -> None:
    write(*items(24, "seconds=0.5 pace=0.05"))
    assert main([*words(own_server.url, other_server.url), "--streams", "3"]) == 0
    for server in (own_server, other_server):
        assert max(note["live"] for note in server.events()) == 3
        assert 6 <= started(server) <= 18
    assert started(own_server) + started(other_server) == 24
    assert len(journal(tmp_path)) == 24


def test_a_dead_server_costs_no_item_anything(
    settled: StandInServer, dead: str, in_empty_folder: None, tmp_path: Path, write: Write
) -> None:
    write(*items(12, "seconds=0.2"))
    assert main([*words(dead, settled.url), "--retries", "0", "--streams", "4"]) == 0
    results = journal(tmp_path)
    assert sorted(result["id"] for result in results) == [f"{number:02}" for number in range(12)]
    assert {result.get("error") for result in results} == {None}


def test_a_server_that_dies_loses_nothing_and_is_used_when_it_is_back(
    own_server: StandInServer, settled: StandInServer, command: Command, tmp_path: Path, write: Write
) -> None:
    write(*items(60, "seconds=1 pace=0.05"))  # longer than a server takes to start
    process = command(*words(own_server.url, settled.url), "--retries", "1", "--streams", "3")
    while started(own_server) < 6:
        assert process.poll() is None
        time.sleep(0.02)
    own_server.kill()
    before = started(own_server)
    own_server.start()
    errors = process.communicate(timeout=100)[1].decode()
    assert process.returncode == 0, errors
    assert "60 of 60 items spoken" in errors
    assert started(own_server) > before
    assert sorted(result["id"] for result in journal(tmp_path)) == [f"{number:02}" for number in range(60)]
    assert sum(result["retries"] for result in journal(tmp_path)) >= 1


def test_when_none_is_left_the_batch_ends(
    own_server: StandInServer, other_server: StandInServer, command: Command, tmp_path: Path, write: Write
) -> None:
    write(*items(40, "seconds=1 pace=0.05"))
    process = command(*words(own_server.url, other_server.url), "--retries", "1", "--streams", "2")
    while not (tmp_path / "out" / "results.jsonl").exists() or len(journal(tmp_path)) < 4:
        assert process.poll() is None
        time.sleep(0.02)
    own_server.kill()
    other_server.kill()
    status, _, errors = finish(process)
    assert status == 1
    assert re.fullmatch(r"higgs-tts: ServerUnavailableError: .*\n", errors), errors
    assert sum("error" in result for result in journal(tmp_path)) <= 4


def test_an_item_that_takes_every_server_down_is_given_up(
    own_server: StandInServer,
    other_server: StandInServer,
    in_empty_folder: None,
    tmp_path: Path,
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch, "LOSSES", 1)
    write({"id": "deadly", "text": "seconds=60 pace=0.1"}, *items(6, "seconds=0.2"))
    over = threading.Event()

    def die_of_it(server: StandInServer) -> None:
        deaths = 0
        while not over.wait(0.02):
            if sum("pace=0.1" in str(note.get("order")) for note in server.events()) > deaths:
                deaths += 1
                server.kill()
                server.start()

    threads = [threading.Thread(target=die_of_it, args=(server,)) for server in (own_server, other_server)]
    for thread in threads:
        thread.start()
    try:
        assert main([*words(own_server.url, other_server.url), "--retries", "12", "--streams", "1"]) == 1
    finally:
        over.set()
        for thread in threads:
            thread.join()
    results = {result["id"]: result.get("error") for result in journal(tmp_path)}
    assert results == {"deadly": "ServerUnavailableError"} | {f"{number:02}": None for number in range(6)}


def test_a_name_stands_for_all_its_servers(
    own_server: StandInServer, other_server: StandInServer, in_empty_folder: None, names: Names, write: Write
) -> None:
    names("fleet.test", "127.0.0.1", "127.0.0.2")
    write(*items(12, "seconds=0.3 pace=0.05"))
    assert main([*words(f"fleet.test:{own_server.grpc_port}"), "--streams", "2"]) == 0
    assert started(own_server) + started(other_server) == 12
    assert min(started(own_server), started(other_server)) > 2


def test_a_server_becomes_a_fleet(
    own_server: StandInServer, other_server: StandInServer, in_empty_folder: None, names: Names, write: Write
) -> None:
    names("localhost", "127.0.0.1")
    write(*items(40, "seconds=0.5 pace=0.05"))
    over = threading.Event()

    def grow() -> None:
        while started(own_server) < 4 and not over.wait(0.02):
            pass
        names("localhost", "127.0.0.1", "127.0.0.2")

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        assert main([*words(f"localhost:{own_server.grpc_port}"), "--streams", "2"]) == 0
    finally:
        over.set()
        thread.join()
    assert started(own_server) + started(other_server) == 40 and started(other_server) > 4


def test_a_fleet_that_grows_and_shrinks_is_noticed(
    own_server: StandInServer, other_server: StandInServer, in_empty_folder: None, names: Names, write: Write
) -> None:
    names("fleet.test", "127.0.0.1", "127.0.0.3")
    write(*items(60, "seconds=0.5 pace=0.05"))
    over = threading.Event()

    def scale() -> None:
        while started(own_server) < 4 and not over.wait(0.02):
            pass
        names("fleet.test", "127.0.0.2", "127.0.0.3")
        while started(other_server) < 4 and not over.wait(0.02):
            pass
        own_server.kill()
        names("fleet.test")  # an answer that fails changes nothing

    thread = threading.Thread(target=scale)
    thread.start()
    try:
        assert main([*words(f"fleet.test:{own_server.grpc_port}"), "--streams", "2"]) == 0
    finally:
        over.set()
        thread.join()
    assert started(own_server) >= 4 and started(other_server) >= 4


@pytest.mark.parametrize(("name", "status"), [("localhost", 0), ("elsewhere.test", 1)])
def test_the_certificate_is_still_held_against_the_name(
    settled: StandInServer,
    in_empty_folder: None,
    tmp_path: Path,
    names: Names,
    write: Write,
    capsys: pytest.CaptureFixture[str],
    name: str,
    status: int,
) -> None:
    make_certificates(tmp_path)
    key, chain = ((tmp_path / file).read_bytes() for file in ("server.key", "server.pem"))
    proxy = TokenProxy(settled.url, grpc.ssl_server_credentials([(key, chain)]), host="127.0.0.2")
    names(name, "127.0.0.2", "127.0.0.3")
    write({"text": "seconds=0.2"}, {"text": "seconds=0.3"})
    port = proxy.url.rpartition(":")[2]
    try:
        encrypted = ["--tls-root", "ca.pem", "--header", "=".join(TOKEN), "--retries", "0"]
        assert main([*words(f"{name}:{port}"), *encrypted]) == status
    finally:
        proxy.stop()
    errors = capsys.readouterr().err
    assert ("No server answers" in errors or "do not trust each other's TLS" in errors) == bool(status), errors
    assert bool(proxy.seen) == (status == 0)


def test_shards_are_disjoint_and_cover_the_manifest(
    settled: StandInServer, in_empty_folder: None, tmp_path: Path, write: Write, starts: Any
) -> None:
    write(*items(30, "seconds=0.1"))
    for shard in ("0/3", "1/3", "2/3"):
        assert main([*words(settled.url), "--shard", shard]) == 0
    assert len(starts()) == 30
    assert sorted(result["id"] for result in journal(tmp_path)) == [f"{number:02}" for number in range(30)]


@pytest.mark.parametrize("shard", ["3/3", "0/0", "1", "-1/3", "a/b", "1/3/4", "1.0/3", ""])
def test_a_shard_that_makes_no_sense_is_a_usage_error(shard: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["batch", "m.jsonl", "--out", "out", f"--shard={shard}"])
    assert caught.value.code == 2
    assert "is no shard: they are counted from 0" in capsys.readouterr().err
