"""The state folder of a server: where it is, what the models are told, and one sentence when it cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.__main__ import main
from serve.state import STATE_VARIABLE, default_state, prepare_state
from serve.triton import TritonServer
from tests.serve.small import make_bundle

TELL = f'import os; print("state is", repr(os.environ.get("{STATE_VARIABLE}")), flush=True)'


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its model says in the log which state folder it was given."""
    return make_bundle(tmp_path_factory.mktemp("serve") / "bundle", TELL)


def test_it_lies_beside_the_bundle_unless_the_environment_names_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STATE_VARIABLE, raising=False)
    assert default_state(Path("artifacts/cpu")) == Path.cwd() / "artifacts" / "cpu.state"
    monkeypatch.setenv(STATE_VARIABLE, "/srv/state")
    assert default_state(Path("artifacts/cpu")) == Path("/srv/state")


def test_models_are_told_where_it_is(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with TritonServer(bundle, state=Path("kept")) as server:
        assert f"state is '{tmp_path / 'kept'}'" in server.log.read_text()
    monkeypatch.setenv(STATE_VARIABLE, "/srv/state")
    with TritonServer(bundle) as server:
        assert "state is ''" in server.log.read_text(), "a server that was given none must not find another's"


def test_a_folder_that_cannot_be_written_is_said_before_anything_starts(
    bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    state = tmp_path / "file" / "state"
    assert main([str(bundle), "--state", str(state), "--http-port", "0"]) == 1  # such a port stops it right after
    assert caplog.messages == [
        f"the state folder {state} cannot be written (Not a directory): voices cannot be added, and codes of "
        "reference clips are kept in memory only; name another folder with --state"
    ]


def test_a_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    assert prepare_state(tmp_path / "a" / "state") is None
    assert list((tmp_path / "a" / "state").iterdir()) == []
