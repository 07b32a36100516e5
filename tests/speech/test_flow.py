"""Notes from the codec reach the streams they are about: how much has left, and who is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.engine.types import Pace
from runtime.triton.flow import Flow
from runtime.triton.notes import Note, NoteReceiver, NoteSender
from runtime.triton.run_folder import RUN_VARIABLE
from tests.speech.stage import Engine


class PacedEngine(Engine):
    """Remembers the last pace it was told."""

    last = Pace()

    def __init__(self) -> None:
        super().__init__()
        self.changed = threading.Condition()
        self.firsts: list[float] = []

    def pace(self, pace: Pace) -> None:
        with self.changed:
            self.last = pace
            self.changed.notify_all()

    def rests(self, *streams: str) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.last.resting == frozenset(streams), 5)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PacedEngine:
    monkeypatch.setenv(RUN_VARIABLE, str(tmp_path))
    return PacedEngine()


@pytest.fixture
def flow(engine: PacedEngine) -> Iterator[Flow]:
    made = Flow(engine, frame_seconds=0.04, first_audio=engine.firsts.append)
    yield made
    made.close()


def test_what_left_the_codec_lets_a_stream_go_on(engine: PacedEngine, flow: Flow) -> None:
    codec, gone = NoteSender("lm"), threading.Event()
    flow.begins("stream", time.monotonic() - 100, gone.set)
    flow.sent("stream", 500)
    assert engine.rests("stream")
    assert not engine.firsts, "the codec has all of it"
    codec.send(Note("another", 500))
    codec.send(Note("stream", 490))
    assert engine.rests()
    codec.send(Note("stream", 495))
    codec.send(Note("stream", gone=True))
    assert gone.wait(5)
    (first,) = engine.firsts
    assert 100 < first < 110, "from the request's arrival"


def test_notes_that_cannot_be_read_or_sent_harm_nobody(tmp_path: Path, engine: PacedEngine, flow: Flow) -> None:
    (tmp_path / "lm.notes").open("w").write("{}\nnonsense\n[1]\n")
    NoteSender("lm").send(Note("x" * 5000))
    NoteSender("nobody").send(Note("stream"))
    full = NoteSender("deaf")
    deaf = threading.Event()
    receiver = NoteReceiver("deaf", lambda note: deaf.wait(5) and None)
    for number in range(5000):
        full.send(Note(f"stream {number}"))
    deaf.set()
    receiver.close()
    flow.begins("stream", time.monotonic(), lambda: None)
    flow.sent("stream", 500)
    NoteSender("lm").send(Note("stream", 490))
    assert engine.rests()
