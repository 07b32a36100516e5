"""Recordings from addresses: public ones only, at once, and no more of them than is allowed."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import certifi
import pytest

from gateway import fetching
from gateway.clips import reference_of
from gateway.errors import GatewayError
from gateway.fetching import fetch, is_public
from gateway.settings import MEBIBYTE, Settings
from tests.certificates import make_certificates
from tests.gateway import bombs
from tests.gateway.visits import Visits, visited


def get(address: str, max_bytes: int = MEBIBYTE) -> bytes:
    return asyncio.run(fetch(address, max_bytes))


@pytest.fixture
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine counts as public."""
    monkeypatch.setattr(fetching, "is_public", lambda number: True)


@pytest.fixture
def resolving(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Names and the numbers that they resolve to."""
    names: dict[str, list[str]] = {}
    system = socket.getaddrinfo

    def look_up(host: Any, port: Any, *more: Any, **options: Any) -> Any:
        if host in names:
            return [found for number in names[host] for found in system(number, port, *more, **options)]
        return system(host, port, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return names


@pytest.mark.parametrize(
    "number, public",
    [
        ("8.8.8.8", True),
        ("2606:4700::1", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::127.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", False),
        ("fe80::1", False),
        ("fec0::1", False),
        ("fd00:ec2::254", False),
        ("ff02::1", False),
        ("2001:db8::1", False),
        ("2002:7f00:1::1", False),
        ("2002:0808:0808::1", True),
        ("2001:0:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::8.8.8.8", True),
        ("64:ff9b:1::8.8.8.8", False),
    ],
)
def test_public_is_what_everybody_means_the_same_machine_by(number: str, public: bool) -> None:
    assert is_public(ip_address(number)) is public


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "0x7f000001", "2130706433", "0177.0.0.1", "127.1", "0", "[::]", "[::1]",
     "[::ffff:127.0.0.1]", "user@127.0.0.1", "inside.example", "half.example", "LOCALHOST", "①②⑦.0.0.1"],
)  # fmt: skip
def test_this_machine_is_not_asked_by_any_name(listening: Visits, resolving: dict[str, list[str]], host: str) -> None:
    resolving |= {"inside.example": ["127.0.0.1"], "half.example": ["127.0.0.1", "8.8.8.8"]}
    with pytest.raises(GatewayError, match=r"The address in ref_audio is at a private address\.|cannot be fetched"):
        get(f"http://{host}:{listening.port}/good.wav")
    assert listening.hosts == []


@pytest.mark.parametrize("host", ["169.254.169.254", "inside.example", "[fd00:ec2::254]"])
def test_a_private_address_is_refused_as_one(resolving: dict[str, list[str]], host: str) -> None:
    resolving |= {"inside.example": ["10.0.0.1"]}
    began = time.monotonic()
    with pytest.raises(GatewayError, match="is at a private address") as refusal:
        get(f"http://{host}/latest/meta-data")
    assert refusal.value.status == 400 and refusal.value.param == "ref_audio"
    assert time.monotonic() - began < 5, "nobody was waited for"


def test_a_public_recording_becomes_a_reference(near: None, resolving: dict[str, list[str]], listening: Visits) -> None:
    resolving["voices.example"] = ["127.0.0.1"]
    listening.pages["/good.wav"] = bombs.silence("wav", "pcm_s16le", 1)
    address = f"http://voices.example:{listening.port}/good.wav"
    reference = asyncio.run(reference_of(address, "words", Settings(fetch_references=True)))
    assert isinstance(reference.audio, tuple) and len(reference.audio[0]) == reference.audio[1] == bombs.RATE
    assert listening.hosts == [f"voices.example:{listening.port}"], "it is asked by its name"


@pytest.mark.parametrize(
    "page, sentence, status",
    [
        ("/none", "was answered with status 404", 400),
        ("/moved", "was answered with status 302", 400),
        ("/endless", "has more than 1 MiB", 413),
    ],
)
def test_pages_that_are_no_recording(near: None, listening: Visits, page: str, sentence: str, status: int) -> None:
    with pytest.raises(GatewayError, match=sentence) as refusal:
        get(listening.url + page)
    assert refusal.value.status == status and len(listening.hosts) == 1, "a redirect is not followed"


def test_a_slow_page_is_left(near: None, listening: Visits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "SECONDS", 0.5)
    began = time.monotonic()
    with pytest.raises(GatewayError, match=r"did not come within 0\.5 s"):
        get(listening.url + "/drip")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("address", ["http://", "http://[", "http://a:99999/", "http:///x", "http://\udcff/"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(GatewayError, match="The address in ref_audio"):
        get(address)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Visits, Path]]:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    with visited(folder / "server.pem") as visits:
        yield visits, folder / "ca.pem"


def test_a_certificate_must_be_of_the_name_that_was_given(
    near: None, resolving: dict[str, list[str]], secure: tuple[Visits, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    visits, root = secure
    visits.pages["/x"] = b"yes"
    resolving["other.example"] = ["127.0.0.1"]
    with pytest.raises(GatewayError, match="cannot be fetched"):  # nobody known signed it
        get(f"https://localhost:{visits.port}/x")
    monkeypatch.setattr(certifi, "where", lambda: str(root))
    assert get(f"https://localhost:{visits.port}/x") == b"yes"
    with pytest.raises(GatewayError, match="cannot be fetched"):
        get(f"https://other.example:{visits.port}/x")
    assert visits.hosts == [f"localhost:{visits.port}"]
