"""A newer server takes over where the memory is too small for two, and gives way where it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from serve import triton
from serve.access import Access
from serve.memory import has_room
from serve.ports import Ports
from serve.supervisor import Supervisor
from serve.triton import TritonServer
from tests.serve.launching import MARK, answers, stubs
from tests.serve.small import make_bundle


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    monkeypatch.setenv(MARK, str(tmp_path))
    monkeypatch.setattr(triton, "has_room", lambda needed: needed == 0)  # as on a machine that is nearly full
    first = TritonServer(make_bundle(tmp_path / "first"), Access(shared=True))
    made = Supervisor(first, None, 60.0)
    made.start()
    yield made
    made.stop()
    assert stubs() == []


def newer(supervisor: Supervisor, bundle: Path) -> TritonServer:
    before = supervisor.server.access.ports
    return TritonServer(bundle, Access(Ports(before.http, before.grpc, Ports.free().metrics), shared=True))


def test_the_old_one_ends_before_the_new_one_begins(supervisor: Supervisor, tmp_path: Path) -> None:
    old, fresh = supervisor.server, newer(supervisor, make_bundle(tmp_path / "second"))
    supervisor._change(fresh)
    assert supervisor.server is fresh and answers(fresh.http_url)
    assert old.ailment() == "the server process has ended" and len(stubs()) == 1


def test_one_that_does_not_load_gives_way_to_the_old_one(supervisor: Supervisor, tmp_path: Path) -> None:
    old = supervisor.server
    supervisor._change(newer(supervisor, make_bundle(tmp_path / "second", "raise RuntimeError('bad')")))
    assert supervisor.server is old and answers(old.http_url) and old.ailment() is None


def test_one_that_does_not_fit_the_machine_is_not_tried(
    supervisor: Supervisor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old, before = supervisor.server, stubs()
    bundle = make_bundle(tmp_path / "second")
    (bundle / "model_repository" / "echo" / "1" / "model.py").unlink()
    supervisor._change(newer(supervisor, bundle))
    assert "model.py is missing" in caplog.text and "still serving" in caplog.text
    assert supervisor.server is old and stubs() == before and answers(old.http_url)


def test_room_is_what_the_tightest_bound_leaves(tmp_path: Path) -> None:
    assert has_room(0, tmp_path) and not has_room(psutil.virtual_memory().total, tmp_path)
    for name, content in (("memory.max", "1000"), ("memory.current", "700"), ("memory.stat", "anon 1\nfile 300\n")):
        (tmp_path / name).write_text(content)
    assert has_room(399, tmp_path) and not has_room(400, tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    assert has_room(400, tmp_path)
