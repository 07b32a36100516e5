"""Folders of any name, host names, and starts that fail: each works, or is refused in one sentence within seconds."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serve import ports, scratch
from serve.__main__ import main
from serve.access import Access
from serve.errors import LaunchError
from serve.log import failure, may_be_tried_again
from serve.machine import LEAST_FILES, check_machine
from serve.manifest import check_bundle
from serve.ports import Ports, listening_address
from serve.scratch import make_scratch
from serve.triton import TritonServer
from tests.serve.small import make_bundle, write_manifest

ROOT = Path(__file__).resolve().parents[2]
ODD = (
    "a b",
    "it's",
    'q"x',
    "a;b",
    "$HOME",
    "`id`",
    "a&b",
    "(x)",
    "état",
    "声音",
    "😀",
    "new\nline",
    "a\\b",
    "*",
    "caf\udce9",
)
TELL = """import os
        folder = os.environ["HIGGS_STATE_DIR"]
        open(os.path.join(folder, "written"), "w").close()"""


def test_bundle_state_and_temporary_folder_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path.joinpath(*ODD)  # one start for all of them
    bundle = make_bundle(folder / "bundle", TELL)
    (folder / "state").mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    with TritonServer(bundle, state=folder / "state") as server:
        assert server.ailment() is None
        assert (folder / "state" / "written").exists()
    assert not [path for path in folder.iterdir() if path.name.startswith("triton-")]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("serve") / "bundle")


def test_the_environments_own_python_may_lie_anywhere(bundle: Path, tmp_path: Path) -> None:
    """With an environment whose name holds what separates the folders of a path."""
    python = tmp_path / "dépôt 'x;y" / ".venv"
    python.parent.mkdir()
    shutil.copytree(sys.prefix, python, symlinks=True, ignore=shutil.ignore_patterns("site-packages"))
    packages = python.joinpath(*Path(os.__file__).parts[-3:-1], "site-packages")
    packages.symlink_to(next(Path(path) for path in sys.path if path.endswith("site-packages")))
    code = (
        "import pathlib, sys; from serve.triton import TritonServer\n"
        "with TritonServer(pathlib.Path(sys.argv[1])) as server: print('ailment', server.ailment())"
    )
    done = subprocess.run(
        [python / "bin" / "python", "-c", code, bundle], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "ailment None\n", done.stderr


@pytest.mark.parametrize(
    ("host", "address"),
    [("localhost", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "0.0.0.0"), ("127.1", "127.0.0.1"),
     (" LOCALHOST ", "127.0.0.1"), ("0", "0.0.0.0")],
)  # fmt: skip
def test_a_host_name_becomes_an_address_that_triton_listens_on(host: str, address: str) -> None:
    assert listening_address(host) == address


@pytest.mark.parametrize(
    ("host", "words"),
    [("::1", "is an IPv6 address"), ("[::1]", "is an IPv6 address"), ("::", "is an IPv6 address"),
     ("fe80::1", "is an IPv6 address"), ("no-such-host.invalid", "is unknown"), ("a" * 70, "is unknown"),
     ("http://localhost", "is unknown"), ("localhost:8000", "is unknown"), ("", "is empty")],
)  # fmt: skip
def test_a_host_that_triton_cannot_listen_on_is_refused(host: str, words: str) -> None:
    with pytest.raises(LaunchError, match=words) as error:
        listening_address(host)
    assert "give an IPv4 address of this machine with --host" in str(error.value)


def test_a_name_that_has_ipv6_addresses_only_is_refused_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def only_six(host: str, port: Any, family: int = 0, *more: Any) -> Any:
        if family == socket.AF_INET:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real("::1", port, family, *more)

    monkeypatch.setattr(ports.socket, "getaddrinfo", only_six)
    with pytest.raises(LaunchError, match=r"--host six is an IPv6 address"):
        listening_address("six")


def test_a_server_named_localhost_is_reached_under_its_address(bundle: Path) -> None:
    with TritonServer(bundle, Access(host="localhost", http_host="localhost")) as server:
        assert server.http_url == f"127.0.0.1:{server.access.ports.http}"


def test_an_address_of_another_machine_and_one_port_for_two_are_refused() -> None:
    with pytest.raises(LaunchError, match=r"--host 192\.0\.2\.1 is no address of this machine"):
        Access(host="192.0.2.1").arguments()
    with pytest.raises(LaunchError, match="need a port each"):
        Access(Ports(8000, 8001, 8000)).arguments()


def refused(words: str, command: list[str], seconds: float = 10.0) -> None:
    """The command ends soon, with status 1 and one line that says why."""
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    lines = [line for line in done.stderr.splitlines() if "state folder" not in line]
    assert done.returncode == 1, done.stdout + done.stderr
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("serve: ")
    assert words in lines[0]
    assert "CUDA" not in lines[0]
    assert time.monotonic() - started < seconds


def serve(bundle: Path) -> list[str]:
    free = Ports.free()
    numbers = [f"--http-port={free.http}", f"--grpc-port={free.grpc}", f"--metrics-port={free.metrics}"]
    return [sys.executable, "-m", "serve", str(bundle), "--gateway=off", *numbers]


@pytest.mark.parametrize("most", [30, 40, 64, 100, LEAST_FILES - 1])
def test_too_few_open_files_are_said(bundle: Path, most: int) -> None:
    shell = f'ulimit -n {most}; exec "$@"'
    refused(f"only {most} files may be open at once", ["bash", "-c", shell, "bash", *serve(bundle)])


def test_a_low_limit_of_open_files_is_raised_where_it_may_be(bundle: Path) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))
    try:
        check_machine(bundle / "model_repository")
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def in_mounts(mounts: str, command: list[str]) -> list[str]:
    """The command where something else is mounted; skips the test where nothing may be."""
    probe = subprocess.run(["unshare", "-m", "sh", "-c", "mount -t tmpfs tmpfs /mnt"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("mounting is for root")
    return ["unshare", "-m", "sh", "-c", f'{mounts}; exec "$@"', "sh", *command]


@pytest.mark.parametrize(
    ("options", "hindrance"),
    [("noexec", "nothing may be executed there"), ("size=64k", "it is full"), ("size=1m", "it is full"),
     ("nr_inodes=1", "it is full"), ("ro", "Read-only file system")],
)  # fmt: skip
def test_temporary_folders_that_will_not_do_are_said_or_passed_over(
    tmp_path: Path, options: str, hindrance: str
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    mount = f"mount -t tmpfs -o {options} tmpfs {place}"
    code = "import sys; from serve.scratch import make_scratch; print(make_scratch(sys.argv[1:]))"
    command = [sys.executable, "-c", code, str(place)]
    alone = subprocess.run(in_mounts(mount, command), cwd=ROOT, capture_output=True, text=True, check=False)
    assert f"no temporary folder will do: {place} ({hindrance}); name another with TMPDIR" in alone.stderr
    both = subprocess.run(
        in_mounts(mount, [*command, str(tmp_path)]), cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert both.stdout.startswith(f"{tmp_path}/triton-")


def test_folders_that_are_missing_or_need_quoting_are_passed_over(tmp_path: Path) -> None:
    for name in ODD:
        (tmp_path / name).mkdir()
    odd = [str(tmp_path / name) for name in ODD]
    made = make_scratch([str(tmp_path / "missing"), *odd, str(tmp_path)])
    assert made.parent == tmp_path
    with pytest.raises(LaunchError, match=r"no temporary folder will do: .*missing \(No such file.*need quoting"):
        make_scratch([str(tmp_path / "missing"), *odd])


def test_a_plain_link_to_an_odd_folder_is_no_plain_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a b").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a b")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "link"))
    made = make_scratch()
    assert str(made).startswith(f"{scratch.PLACES[0]}/")
    made.rmdir()


@pytest.mark.parametrize("size", ["4k", "64k", "512k", "1020k"])
def test_too_little_shared_memory_is_said(bundle: Path, size: str) -> None:
    mounts = f"mount -t tmpfs -o size={size} tmpfs /dev/shm"
    refused("/dev/shm has", in_mounts(mounts, serve(bundle)))


def test_shared_memory_that_somebody_filled_is_said(bundle: Path) -> None:
    mounts = "mount -t tmpfs -o size=2m tmpfs /dev/shm; head -c 1200000 /dev/zero > /dev/shm/mine"
    refused("0.9 MiB free; 1 models need 1 MiB at least", in_mounts(mounts, serve(bundle)))


@pytest.mark.parametrize(
    ("initialize", "words"),
    [("raise MemoryError()", "failed to load: Internal: MemoryError"),
     ("import no_such_module", "No module named 'no_such_module'"),
     ("raise RuntimeError('état')", "RuntimeError: état"),
     ("import os; os.kill(os.getpid(), 9)", "model echo failed to load: its process ended"),
     ("import sys; sys.exit(3)", "SystemExit: 3"),
     ("import onnxruntime; onnxruntime.InferenceSession(b'cut off')", "echo failed to load")],
)  # fmt: skip
def test_a_model_that_fails_is_named_with_its_reason(tmp_path: Path, initialize: str, words: str) -> None:
    refused(words, serve(make_bundle(tmp_path / "bundle", initialize)))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda bundle: (bundle / "manifest.json").write_bytes(b""), "is not valid JSON"),
        (lambda bundle: (bundle / "manifest.json").write_bytes(b'\xff\xfe{"format": 1}'), "is not valid JSON"),
        (lambda bundle: (bundle / "manifest.json").write_bytes(b"[" * 100_000), "is not valid JSON"),
        (lambda bundle: (bundle / "manifest.json").write_text('{"format": 1}'), "is damaged (KeyError('requires'))"),
        (lambda bundle: (bundle / "manifest.json").write_text('{"format": 1, "requires": []}'), "is damaged"),
        (lambda bundle: write_manifest(bundle, {"files": ["model.py"]}), "is damaged"),
        (lambda bundle: write_manifest(bundle, {"files": {"model.py": {}}}), "is missing"),
        (lambda bundle: write_manifest(bundle, {"files": None}), "is damaged"),
    ],
)
def test_a_damaged_manifest_is_refused(tmp_path: Path, damage: Callable[[Path], None], words: str) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    damage(bundle)
    with pytest.raises(LaunchError) as error:
        check_bundle(bundle)
    assert words in str(error.value)


def test_a_file_that_may_not_be_read_is_named(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.manifest.os.access", lambda path, mode: False)  # what others than root meet
    with pytest.raises(LaunchError, match="cannot be read by this user"):
        check_bundle(bundle)


@pytest.mark.parametrize("name", ["x" * 300, "missing", "new\nline", "a b", "/dev/null"])
def test_a_bundle_that_is_none_is_refused_in_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--gateway", "off", "--state", "/dev/null/state"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("serve: ")
    assert said.count("\n") == 1


LOG = """I1125 22:00:00.000000 1 main.cc:1] "fine"
W1125 22:00:00.000000 1 x.cc:1] "CudaDriverHelper has not been initialized."
W1125 22:00:00.000000 1 pinned.cc:1] "unavailable: CUDA driver version is insufficient for CUDA runtime version"
"""


@pytest.mark.parametrize(
    ("line", "words"),
    [('E1125 22:00:00.000000 1 http.cc:1] "failed to start HTTP: Socket 8000 already in use"', "already in use"),
     ("[warn] epoll_create: Too many open files", "Too many open files"),
     ("terminate: No space left on device", "No space left on device"),
     ("error: creating server: Internal", "error: creating server"),
     ("OSError: [Errno 12] Cannot allocate memory", "Cannot allocate memory")],
)  # fmt: skip
def test_the_reason_is_found_among_what_is_said_on_any_machine(tmp_path: Path, line: str, words: str) -> None:
    log = tmp_path / "triton.log"
    log.write_text(f"{LOG}{line}\n{LOG}")
    assert words in failure(log)
    log.write_text(LOG)
    assert "CUDA" not in failure(log)
    assert "CUDA driver version" in failure(log, on_gpu=True)


def test_a_start_that_fails_by_itself_is_tried_once_more(tmp_path: Path) -> None:
    fails_once = f"""import os
        if not os.path.exists({str(tmp_path / "tried")!r}):
            open({str(tmp_path / "tried")!r}, "w").close()
            print("terminate called after throwing 'boost::interprocess::lock_exception'", flush=True)
            raise RuntimeError("once")"""
    with TritonServer(make_bundle(tmp_path / "once", fails_once)) as server:
        assert server.ailment() is None
        assert not may_be_tried_again(server.log)
        assert may_be_tried_again(server.log.with_name("triton.log.previous"))


def test_two_servers_of_one_bundle_write_two_logs(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", "pass")
    with TritonServer(bundle) as first, TritonServer(bundle) as second:
        assert (first.log, second.log) == (bundle / "triton.log", bundle / "triton-2.log")
        assert "Started GRPCInferenceService" in first.log.read_text()
    assert "Waiting for in-flight requests to complete" in first.log.read_text()
    with TritonServer(bundle) as third:
        assert third.log == first.log
        assert "Waiting for in-flight requests" in (bundle / "triton.log.previous").read_text()
