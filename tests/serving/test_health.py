"""The health check speaks: it is content with a server that is idle or busy, and not with one that lost a model."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from higgs_tts import HiggsClient

from serve.access import Access, Tls
from serve.health import audio_left, check
from serve.ports import Ports
from serve.processes import STUB
from serve.triton import TritonServer
from tests.certificates import make_certificates
from tests.serving import lasting
from tools.bench.metrics import metrics

ROOT = Path(__file__).resolve().parents[2]
# Chunks of a quarter of a second: audio leaves a busy server all the time.
LONG = replace(lasting.PARAMS, chunk_growth=1.0, first_chunk_seconds=0.25)


@pytest.fixture
def own_server(bundle: Path) -> Iterator[TritonServer]:
    with TritonServer(bundle) as running:
        yield running


def probe(server: TritonServer, timeout: float) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "serve.health", "--url", server.grpc_url, "--metrics-url", server.metrics_url]
    return subprocess.run(
        [*command, "--timeout", str(timeout)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


def test_an_idle_server_is_healthy(server: TritonServer, figure: Callable[[str, str], None]) -> None:
    answer = probe(server, 10)
    assert answer.returncode == 0, answer.stdout
    assert answer.stdout.startswith("healthy: spoke 0.")
    assert answer.stdout.count("\n") == 1
    started = time.monotonic()
    assert check(server.grpc_url, server.metrics_url, 10).well
    figure("a health check, without starting Python", f"{1000 * (time.monotonic() - started):.0f} ms")


def test_nothing_there_is_unhealthy() -> None:
    ports = Ports.free()
    health = check(f"127.0.0.1:{ports.grpc}", f"127.0.0.1:{ports.metrics}", 2)
    assert not health.well
    assert "ServerUnavailableError: No server answers" in health.reason


@pytest.mark.parametrize("option", ["--url", "--metrics-url"])
@pytest.mark.parametrize("address", ["localhost", "localhost:", ":8002", "localhost:http"])
def test_an_address_that_is_none_is_named(option: str, address: str) -> None:
    command = [sys.executable, "-m", "serve.health", option, address, "--timeout", "1"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert answer.returncode == 2
    assert f"argument {option}: '{address}' is not HOST:PORT" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_server_whose_slots_are_taken_is_busy_and_healthy(own_server: TritonServer) -> None:
    with HiggsClient(own_server.grpc_url) as client, ExitStack() as stack:
        streams = [stack.enter_context(client.stream(lasting.TEXT, params=LONG)) for _ in range(20)]
        next(streams[0])
        deadline = time.monotonic() + 10
        while metrics(own_server.metrics_url)["higgs_waiting_requests"] < 4:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        health = check(own_server.grpc_url, own_server.metrics_url, 2)
        assert health.well, health.reason
        assert health.reason.startswith("busy (")
    assert check(own_server.grpc_url, own_server.metrics_url, 10).well


@pytest.mark.parametrize("model", ["lm", "codec_decoder"])
def test_a_server_that_lost_a_model_is_unhealthy_though_triton_says_ready(own_server: TritonServer, model: str) -> None:
    assert audio_left(own_server.metrics_url) == 0
    stub(own_server, model).kill()
    time.sleep(0.5)
    answer = probe(own_server, 3)
    assert answer.returncode == 1, answer.stdout
    assert answer.stdout.startswith("unhealthy: ")
    assert own_server._is_ready(), "the reason why Triton's own endpoint is not asked"


def stub(server: TritonServer, model: str) -> psutil.Process:
    assert server._process is not None
    for process in psutil.Process(server._process.pid).children():
        words = process.cmdline()
        if words and STUB in words[0] and f"/{model}/" in words[1]:
            return process
    raise AssertionError(f"no process of {model}")


def test_a_server_behind_tls_is_asked_with_certificates(bundle: Path, tmp_path: Path) -> None:
    make_certificates(tmp_path)
    ca, key, certificate = (tmp_path / name for name in ("ca.pem", "client.key", "client.pem"))
    tls = Tls(tmp_path / "server.pem", tmp_path / "server.key", ca)
    with TritonServer(bundle, Access(tls=tls)) as server:
        command = [sys.executable, "-m", "serve.health", "--url", server.grpc_url, "--metrics-url", server.metrics_url]
        for words, status in (
            (["--tls-root", ca, "--tls-key", key, "--tls-cert", certificate], 0),
            (["--tls-root", ca], 1),
            (["--tls-root", tmp_path / "none.pem"], 2),
        ):
            assert subprocess.run([*command, *map(str, words)], capture_output=True, check=False).returncode == status


def test_every_model_gives_a_sign_of_life(server: TritonServer) -> None:
    assert server._scratch is not None
    signs = {file.stem for file in server._scratch.glob("*.beat")}
    assert signs == {"prompt", "codec_encoder", "lm", "codec_decoder", "voices"}
    assert server.ailment() is None
