"""Who may reach what of a running Triton, and what another user of the machine sees of it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest
import tritonclient.grpc as triton_grpc

from runtime.formats import signing
from runtime.voices import state
from serve.__main__ import _server
from serve.access import KEY_VARIABLE, READ_ONLY, VOICES_VARIABLE, WRITABLE, Access, Tls
from serve.arguments import parse
from serve.errors import LaunchError
from serve.ports import Ports
from serve.shared_memory import FOLDER
from serve.triton import TritonServer
from tests.certificates import make_certificates
from tests.serve.small import make_bundle

ROOT = Path(__file__).resolve().parents[2]
STARTS = """
import pathlib, sys, time
from serve.triton import TritonServer
with TritonServer(pathlib.Path(sys.argv[1])) as server:
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """gRPC and metrics listen where the network is; HTTP does not."""
    bundle = make_bundle(tmp_path_factory.mktemp("access") / "bundle")
    with TritonServer(bundle, Access(host="0.0.0.0")) as running:
        yield running


@pytest.mark.parametrize(
    "call",
    ["get_system_shared_memory_status", "get_cuda_shared_memory_status", "get_model_repository_index",
     "get_inference_statistics", "get_trace_settings", "get_log_settings"],
)  # fmt: skip
def test_what_is_the_operators_alone_is_shut_over_grpc(server: TritonServer, call: str) -> None:
    with triton_grpc.InferenceServerClient(server.grpc_url) as client:
        with pytest.raises(triton_grpc.InferenceServerException, match="This protocol is restricted"):
            getattr(client, call)()
        assert client.is_server_ready() and client.get_server_metadata().name == "triton"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "systemsharedmemory/status"), ("POST", "systemsharedmemory/region/x/register"), ("GET", "logging"),
     ("POST", "repository/index"), ("POST", "repository/models/echo/unload"), ("GET", "models/stats"),
     ("GET", "trace/setting")],
)  # fmt: skip
def test_what_is_the_operators_alone_is_shut_over_http(server: TritonServer, method: str, path: str) -> None:
    request = urllib.request.Request(f"http://{server.http_url}/v2/{path}", method=method)
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request, timeout=5)
    assert refusal.value.code == 403


def test_http_listens_on_this_machine_only_whatever_the_host(server: TritonServer) -> None:
    ports = server.access.ports
    for port in (ports.grpc, ports.metrics):  # any other address of the loopback network stands for another machine's
        socket.create_connection(("127.0.0.2", port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", ports.http), timeout=5)


def test_a_body_of_very_many_chunks_does_not_end_the_server_where_the_network_reaches_it(server: TritonServer) -> None:
    """CVE-2025-23310: over HTTP, which listens on this machine only, the same bytes end Triton 2.51."""
    with socket.create_connection(("127.0.0.1", server.access.ports.metrics), timeout=30) as connection:
        connection.sendall(b"POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b"1\r\na\r\n" * 600_000 + b"0\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 405"
    assert server.ailment() is None


def test_kubernetes_own_probe_is_answered(server: TritonServer) -> None:
    with grpc.insecure_channel(server.grpc_url) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(b"", timeout=5) == b"\x08\x01", "SERVING"


def test_the_models_key_stands_in_their_environment_and_in_no_command_line(server: TritonServer) -> None:
    key = os.environ[KEY_VARIABLE]  # the tests' own: else it is made for each start
    (triton,) = (
        one for one in psutil.Process().children() if f"--http-port={server.access.ports.http}" in one.cmdline()
    )
    models = triton.children()
    assert models and all(model.environ()[KEY_VARIABLE] == key for model in models)
    assert not any(key in word for process in (triton, *models) for word in process.cmdline())


def test_each_start_has_a_key_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE)
    keys = {Access().environment()[KEY_VARIABLE] for _ in range(3)}
    assert len(keys) == 3 and all(len(key) == 64 for key in keys)
    assert KEY_VARIABLE == signing.KEY_VARIABLE


@pytest.mark.parametrize(
    ("words", "variable", "told"),
    [
        ([], None, WRITABLE),
        (["--voices", "read-only"], None, READ_ONLY),
        ([], READ_ONLY, READ_ONLY),
        (["--voices", "writable"], READ_ONLY, WRITABLE),
    ],
)
def test_models_are_told_whether_clients_may_change_the_voices(
    monkeypatch: pytest.MonkeyPatch, words: list[str], variable: str | None, told: str
) -> None:
    monkeypatch.setenv(VOICES_VARIABLE, variable or "")
    server = _server(parse(["bundle", *words]), Path("bundle"), Path("state"))
    assert server.access.environment()[VOICES_VARIABLE] == told
    monkeypatch.setenv(state.VOICES_VARIABLE, told)
    assert state.voices_are_read_only() == (told == READ_ONLY)


def test_no_other_user_of_the_machine_reads_the_shared_memory(server: TritonServer) -> None:
    regions = regions_of(os.getpid(), server.access.ports.http)
    assert regions
    assert all(region.stat().st_mode & 0o077 == 0 for region in regions)


def test_what_a_killed_run_left_in_shared_memory_is_swept_by_the_next_and_a_living_ones_is_not(
    server: TritonServer, tmp_path: Path
) -> None:
    living = regions_of(os.getpid(), server.access.ports.http)
    bundle = make_bundle(tmp_path / "bundle")
    launcher = subprocess.Popen([sys.executable, "-c", STARTS, str(bundle)], cwd=ROOT, stdout=subprocess.PIPE)
    assert launcher.stdout is not None and launcher.stdout.readline() == b"ready\n"
    left = regions_of(launcher.pid)
    for process in psutil.Process(launcher.pid).children():
        os.killpg(process.pid, signal.SIGKILL)
    launcher.kill()
    launcher.wait()
    assert left and all(region.exists() for region in left)
    with TritonServer(bundle) as another:
        assert not any(region.exists() for region in left)
        assert all(region.exists() for region in living)
        others = regions_of(os.getpid(), another.access.ports.http)
    assert others and not any(region.exists() for region in others)


def regions_of(launcher: int, http_port: int | None = None) -> set[Path]:
    """The regions of the server that a process started, by its port where it started several."""
    found: set[Path] = set()
    for process in psutil.Process(launcher).children():
        words = " ".join(process.cmdline())
        name = re.search(r"shm-region-prefix-name=(\S+)-", words)
        if name and (http_port is None or f"--http-port={http_port}" in words.split()):
            found |= set(FOLDER.glob(f"{name[1]}*"))
    return found


def test_grpc_speaks_tls_and_asks_for_the_clients_certificate(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    tls = Tls(tmp_path / "server.pem", tmp_path / "server.key", tmp_path / "ca.pem")
    root, key, chain = ((tmp_path / name).read_bytes() for name in ("ca.pem", "client.key", "client.pem"))
    with TritonServer(make_bundle(tmp_path / "bundle"), Access(tls=tls)) as server:
        for credentials, known in (
            (grpc.ssl_channel_credentials(root, key, chain), True),
            (grpc.ssl_channel_credentials(root), False),
        ):
            with grpc.secure_channel(server.grpc_url, credentials) as channel:
                check = channel.unary_unary("/grpc.health.v1.Health/Check")
                if known:
                    assert check(b"", timeout=5) == b"\x08\x01"
                else:
                    with pytest.raises(grpc.RpcError):
                        check(b"", timeout=5)


def test_a_certificate_that_cannot_be_read_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"cannot read .*none\.pem \(No such file or directory\)"):
        Access(Ports.free(), tls=Tls(tmp_path / "none.pem", tmp_path / "none.key")).arguments()
