"""The launcher and its gateway: up with it, back when it dies, gone with it. How it drains: serving/test_drain.py."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from serve import gateway, pythons
from serve.access import Access, Tls
from serve.arguments import parse
from serve.errors import LaunchError
from serve.gateway import Gateway, make_gateway, parse_address
from serve.health import Health, check_gateway
from serve.ports import Ports
from tests.certificates import make_certificates
from tests.serve.launching import command, read_until, wait_for
from tests.serve.small import make_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("serve") / "bundle")


def address() -> str:
    return f"127.0.0.1:{Ports.free().http}"


def process_of(launcher: int) -> psutil.Process:
    (found,) = [child for child in psutil.Process(launcher).children() if "gateway" in child.cmdline()]
    return found


def lives(where: str) -> bool:
    try:
        return httpx.get(f"http://{where}/health/live", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_it_comes_back_when_it_dies_and_goes_with_a_launcher_that_is_killed(bundle: Path, tmp_path: Path) -> None:
    """In front of a Triton that asks who its clients are."""
    make_certificates(tmp_path)
    server, client = (
        [f"--{whose}-cert={tmp_path}/{name}.pem", f"--{whose}-key={tmp_path}/{name}.key"]
        for whose, name in (("tls", "server"), ("triton", "client"))
    )
    where = address()
    words = ["--gateway", where, f"--gateway-options={' '.join(client)}", *server, f"--tls-client-ca={tmp_path}/ca.pem"]
    with command(bundle, *words, seconds=300.0) as (process, _):
        assert read_until(process.stdout, "ready:").endswith(f", gateway {where}\n")
        assert lives(where)
        assert check_gateway(where, 10) == Health(True, f"the gateway runs at {where}")
        said = httpx.get(f"http://{where}/v1/audio/voices", trust_env=False)
        assert "unknown model" in said.text, "the gateway reaches Triton, which here has no voices"
        first = process_of(process.pid)
        first.kill()
        read_until(process.stdout, "the gateway has ended; restarting it")
        wait_for(lambda: lives(where), 120)
        second = process_of(process.pid)
        assert second.pid != first.pid
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_for(lambda: not second.is_running(), 10)
    assert not check_gateway(where, 1).well


def test_one_that_hangs_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(gateway, "HANG_SECONDS", 1.0)
    where = address()
    made = Gateway(where, sys.executable, ["--triton", "localhost:1"])
    made.start()
    try:
        made.watch()
        first = process_of(os.getpid())
        first.send_signal(signal.SIGSTOP)
        wait_for(lambda: not first.is_running() and lives(where), 120)
        assert process_of(os.getpid()).pid != first.pid
    finally:
        made.stop()
    assert not lives(where)


def test_a_gateway_that_cannot_start_ends_the_launcher_in_a_sentence(bundle: Path) -> None:
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", 0))
        taken = occupant.getsockname()[1]
        with pytest.raises(LaunchError, match=rf"port {taken} of 127.0.0.1 .*--gateway HOST:PORT, or off"):
            Gateway(f"127.0.0.1:{taken}", "python", []).start()
    with pytest.raises(LaunchError, match="is no address of this machine"):
        Gateway("192.0.2.1:8080", "python", []).start()
    with command(bundle, "--gateway", address(), "--gateway-options=--no-such-option", seconds=300.0) as (process, _):
        out, _ = process.communicate(timeout=200)
        assert process.returncode == 1
        assert "unrecognized arguments: --no-such-option" in out
        assert out.splitlines()[-1].startswith("serve: the gateway did not start")


@pytest.mark.parametrize("word", ["8080", "on", "localhost:", ":8080", "localhost:0", "localhost:65536", "localhost:x"])
def test_an_address_that_is_none_is_refused(word: str) -> None:
    with pytest.raises(LaunchError, match=r"it is HOST:PORT, such as 127\.0\.0\.1:8080, or off"):
        parse_address(word)


def test_it_is_told_where_triton_is_and_what_it_may_keep(tmp_path: Path) -> None:
    tls = Tls(tmp_path / "server.pem", tmp_path / "server.key")
    access = Access(Ports(1, 2, 3), "0.0.0.0", tls=tls)
    made = make_gateway("[::1]:8080", "--alias 'my voice=belinda'", access, tmp_path, 7)
    assert made is not None and made.url == "[::1]:8080"
    told = made._command[3:]
    assert told == [
        *("--host", "::1", "--port", "8080", "--triton", "127.0.0.1:2", "--drain", "7"),
        *("--consents", str(tmp_path / "consents"), "--triton-root", str(tls.certificate)),
        *("--alias", "my voice=belinda"),
    ]
    guarded = Access(Ports(1, 2, 3), tls=Tls(tls.certificate, tls.key, tmp_path / "ca.pem"))
    with pytest.raises(LaunchError, match="the gateway needs a certificate too: --gateway-options"):
        make_gateway("localhost:8080", "", guarded, None, 7)
    with pytest.raises(
        LaunchError, match=r"--gateway-options is .* which is no list of words \(No closing quotation\)"
    ):
        make_gateway("localhost:8080", "--alias 'a", access, None, 7)


def test_without_its_packages_there_is_none_and_a_line_that_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pythons, "_HAS", "import sys; sys.exit(1)")
    with caplog.at_level(logging.WARNING):
        assert make_gateway("localhost:8080", "", Access(), None, 7) is None
    assert "the gateway's packages are missing; serving without it" in caplog.text


def test_the_launcher_has_one_unless_told_otherwise() -> None:
    assert parse(["bundle"]).gateway == "127.0.0.1:8080"
    assert parse(["bundle", "--gateway", "off"]).gateway == "off"
