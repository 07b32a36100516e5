"""A manifest to write, what the server was asked for meanwhile, and batches that are in a hurry."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from higgs_tts.cli import throttle

from ..standin.server import StandInServer

Write = Callable[..., None]


@pytest.fixture
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches in this process wait a tenth as long before they try again."""
    monkeypatch.setattr(throttle, "BACK_OFF", throttle.BACK_OFF / 10)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the manifest, one line an item. Texts get a mark of this test, to find them among the server's events."""

    def write(*items: dict[str, Any]) -> None:
        lines = [json.dumps({**item, "text": f"{item['text']} test={tmp_path}"}) for item in items]
        (tmp_path / "m.jsonl").write_text("\n".join(lines))

    return write


@pytest.fixture
def starts(settled: StandInServer, tmp_path: Path) -> Callable[[], "list[dict[str, Any]]"]:
    """What this test asked the server for, in the order in which it began."""

    def starts() -> list[dict[str, Any]]:
        notes = [note for note in settled.events() if note["event"] == "start"]
        return [note["order"] for note in notes if note["order"]["text"].endswith(f" test={tmp_path}")]

    return starts


def words(server: StandInServer, *more: str) -> list[str]:
    return ["batch", "m.jsonl", "--out", "out", "--url", server.url, *more]


def journal(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / "results.jsonl").read_text("utf-8").splitlines()]
