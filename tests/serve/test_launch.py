"""The launcher with a real Triton: up and down, refusals that name the reason, nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

from serve import installation
from serve.access import Access
from serve.errors import LaunchError
from serve.ports import Ports
from serve.triton import TritonServer
from tests.serve.launching import MARK, ROOT, answers, command, read_until, stubs, wait_for
from tests.serve.small import make_bundle

# Native code that keeps the interpreter's lock, as loading a large model does.
LOADING = "import ctypes; ctypes.PyDLL(None).sleep(60)"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("serve") / "bundle")


@pytest.fixture(autouse=True)
def marked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever a test starts, and what that starts, carries the test's mark."""
    monkeypatch.setenv(MARK, str(tmp_path))


def test_a_server_starts_answers_and_stops_within_seconds(bundle: Path) -> None:
    server = TritonServer(bundle)
    started = time.monotonic()
    with server:
        assert time.monotonic() - started < 10
        assert answers(server.http_url)
        assert server.ailment() is None
        assert 30 * 2**20 < server.memory_bytes() < 500 * 2**20
        assert len(stubs()) == 1
        assert server.stop() < 10
    assert stubs() == []
    assert server.stop() < 0.1  # stopping twice is no mistake
    assert "in-flight inferences" in server.log.read_text()


def test_models_import_the_bundles_modules_not_those_of_the_working_directory(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (ROOT / "runtime").is_dir(), "the checkout has a package of the same name as the bundle's"
    monkeypatch.chdir(ROOT)
    with TritonServer(bundle) as server:
        assert "/repository/echo/1/runtime/__init__.py" in server.log.read_text(), "through the link to the bundle"


@pytest.mark.parametrize("asked", ["", "2"], ids=["by itself", "unless the operator wants more"])
def test_numpy_computes_with_one_thread(bundle: Path, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "OPENBLAS_NUM_THREADS"
    monkeypatch.delenv(name, raising=False)
    if asked:
        monkeypatch.setenv(name, asked)
    with TritonServer(bundle):
        assert {model.environ()[name] for model in stubs()} == {asked or "1"}


def test_a_connection_left_open_does_not_hold_up_the_stop(bundle: Path) -> None:
    with TritonServer(bundle) as server:
        connection = HTTPConnection(server.http_url)
        connection.request("GET", "/v2")
        connection.getresponse().read()
        assert server.stop() < 10
        connection.close()
    assert stubs() == []


def test_a_model_that_does_not_load_is_named_with_its_reason(tmp_path: Path) -> None:
    broken = make_bundle(tmp_path / "bundle", initialize='raise FileNotFoundError("weights.onnx is missing")')
    server = TritonServer(broken)
    with pytest.raises(LaunchError) as error:
        server.start()
    assert "model echo failed to load" in str(error.value)
    assert "FileNotFoundError: weights.onnx is missing" in str(error.value)
    assert "\n" not in str(error.value)
    assert stubs() == []


def test_a_model_that_loads_too_slowly_is_given_up(tmp_path: Path) -> None:
    slow = make_bundle(tmp_path / "bundle", initialize=LOADING)
    with pytest.raises(LaunchError, match="not ready within 2 s") as error:
        TritonServer(slow).start(timeout=2.0)
    assert "CudaDriverHelper" not in str(error.value), "Triton says that wherever there is no GPU"
    # A model process looks for its dead server only when the interpreter's lock is free; stop() does not wait for that.
    wait_for(lambda: not stubs(), 0.25)


def test_a_port_in_use_is_named_with_its_option(bundle: Path) -> None:
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", 0))
        occupant.listen()
        taken = occupant.getsockname()[1]
        free = Ports.free()
        with pytest.raises(LaunchError, match=rf"port {taken} .*--grpc-port"):
            TritonServer(bundle, Access(Ports(free.http, taken, free.metrics))).start()


@pytest.mark.parametrize("number", [0, 65536, -1])
def test_a_port_that_is_none_is_refused(bundle: Path, number: int) -> None:
    free = Ports.free()
    with pytest.raises(LaunchError, match=rf"--http-port is {number}; a port is a number from 1 to 65535"):
        TritonServer(bundle, Access(Ports(number, free.grpc, free.metrics))).start()


def test_a_port_taken_at_the_last_moment_is_still_the_reason(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ports, "refuse_if_taken", lambda self, hosts: None)
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", 0))
        occupant.listen()
        taken = occupant.getsockname()[1]
        free = Ports.free()
        with pytest.raises(LaunchError, match=str(taken)):
            TritonServer(bundle, Access(Ports(taken, free.grpc, free.metrics))).start()


def test_a_log_that_cannot_be_written_is_refused(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"cannot write the log .*--log"):
        TritonServer(bundle, log=tmp_path / "no such folder" / "triton.log").start()


def test_without_a_triton_the_way_to_get_one_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "CONTAINER_ROOT", tmp_path)
    monkeypatch.setattr(installation.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LaunchError, match=r"no Triton was found.*make setup"):
        installation.find_installation(tmp_path)


def test_a_python_without_shared_library_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "CONTAINER_ROOT", tmp_path)
    monkeypatch.setattr(installation.sysconfig, "get_config_var", lambda name: "libpython3.11.a")
    with pytest.raises(LaunchError, match="no shared libpython"):
        installation.find_installation(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_where_it_is_ready_and_stops_on_signals(bundle: Path, number: signal.Signals) -> None:
    with command(bundle) as (process, ports):
        line = read_until(process.stdout, "ready:")
        assert f"127.0.0.1:{ports.grpc}" in line
        assert f"127.0.0.1:{ports.http}" in line
        assert f"127.0.0.1:{ports.metrics}/metrics" in line
        assert "make client" in read_until(process.stdout, "speak:")
        process.send_signal(number)
        read_until(process.stdout, "stopped in")
        assert process.wait(10) == 0
    assert stubs() == []


def test_the_command_can_be_stopped_while_models_load(tmp_path: Path) -> None:
    slow = make_bundle(tmp_path / "bundle", initialize=LOADING)
    with command(slow) as (process, _):
        wait_for(lambda: len(stubs()) == 1, 10)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    wait_for(lambda: not stubs(), 1)


@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGKILL, "has ended; restarting"), (signal.SIGSTOP, "has been stopped; restarting")]
)
@pytest.mark.parametrize("whose", ["the process of model echo", "the server process"])
def test_a_process_killed_or_frozen_leads_to_a_restart(bundle: Path, whose: str, number: int, words: str) -> None:
    with command(bundle) as (process, ports):
        read_until(process.stdout, "speak:")
        (stub,) = stubs()
        os.kill(stub.pid if "model" in whose else stub.ppid(), number)
        assert f"{whose} {words}" in read_until(process.stdout, "restarting") or number == signal.SIGKILL
        read_until(process.stdout, "ready again")
        assert answers(f"127.0.0.1:{ports.http}")
        assert [process.pid for process in stubs()] != [stub.pid]
        assert not (bundle / "triton-2.log").exists(), "the dead let go of the log before it was opened anew"
        process.terminate()
        assert process.wait(10) == 0


def test_a_restart_that_fails_is_tried_again(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    code = bundle / "model_repository" / "echo" / "1" / "model.py"
    with command(bundle) as (process, ports):
        read_until(process.stdout, "speak:")
        (stub,) = stubs()
        aside = code.rename(tmp_path / "aside.py")
        stub.kill()
        assert "model.py is missing" in read_until(process.stdout, "is missing")
        aside.rename(code)
        read_until(process.stdout, "ready again")
        assert answers(f"127.0.0.1:{ports.http}")


def test_a_server_is_given_up_after_as_many_restarts_as_the_operator_allows(bundle: Path) -> None:
    with command(bundle, "--restarts", "1") as (process, _):
        read_until(process.stdout, "speak:")
        for said in ("ready again", "giving up, after --restarts 1 in a row"):
            (stub,) = stubs()
            stub.kill()
            read_until(process.stdout, said)
        assert process.wait(10) == 1


def test_the_command_refuses_in_one_line(tmp_path: Path) -> None:
    with command(tmp_path) as (process, _):
        out, _ = process.communicate(timeout=10)
        assert process.returncode == 1
        assert out.startswith("serve: ")
        assert out.count("\n") == 1


HANGING = "import threading, time; threading.Thread(target=time.sleep, args=(600,)).start()"  # is waited for at the end


@pytest.mark.parametrize("initialize", ["pass", HANGING], ids=["idle", "hanging"])
def test_nothing_outlives_a_killed_launcher(tmp_path: Path, initialize: str) -> None:
    with command(make_bundle(tmp_path / "bundle", initialize)) as (process, ports):
        read_until(process.stdout, "speak:")
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_for(lambda: not stubs(), 10)
        assert not answers(f"127.0.0.1:{ports.http}")


def test_nothing_outlives_a_crashed_server(bundle: Path) -> None:
    with TritonServer(bundle) as server:
        (stub,) = stubs()
        os.kill(stub.ppid(), signal.SIGKILL)
        wait_for(lambda: server.ailment() is not None, 2)
        assert server.ailment() == "the server process has ended"
    wait_for(lambda: not stubs(), 0.25)
