"""Control requests about texts reach them, even ahead of their streams, and what the texts say reaches `lm`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from runtime.formats.errors import EngineError, InvalidRequestError
from runtime.formats.more_parts import MoreParts
from runtime.triton.growing_texts import PARTS, GrowingTexts, TextSender
from runtime.triton.notes import Note, NoteSender
from runtime.triton.pipes import LineReader, LineWriter
from runtime.triton.run_folder import RUN_VARIABLE
from tests.text.test_growing_text import Grown


class Heard:
    """The lines that came through a pipe."""

    def __init__(self, name: str) -> None:
        self.lines: list[bytes] = []
        self._changed = threading.Condition()
        self.reader = LineReader(name, self._take)

    def _take(self, line: bytes) -> None:
        with self._changed:
            self.lines.append(line)
            self._changed.notify()
            assert line != b"broken"

    def wait(self, lines: int) -> list[bytes]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.lines) >= lines, 10)
            return list(self.lines)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(RUN_VARIABLE, str(tmp_path))
    return tmp_path


@pytest.fixture
def parts(folder: Path) -> Iterator[Heard]:
    heard = Heard(PARTS)
    yield heard
    heard.reader.close()


@pytest.fixture
def texts(parts: Heard) -> Iterator[GrowingTexts]:
    made = GrowingTexts()
    yield made
    made.close()


def opened(texts: GrowingTexts, stream: str, text: str = "", timeout: float = 60.0, **given: float) -> None:
    text_of = Grown(timeout_seconds=timeout, **given)
    texts.open(stream, text_of.settled, text_of.writer, text, time.monotonic())


def said(lines: list[bytes], stream: str) -> list[str]:
    more = [one for one in map(MoreParts.read, lines) if one.stream == stream]
    return [part.said.written for one in more for part in one.parts] + ["."] * any(one.ended for one in more)


def test_lines_of_any_length_arrive_whole_and_a_bad_one_harms_no_other(folder: Path) -> None:
    heard, writer = Heard("some"), LineWriter("some")
    lines = ["short", "broken", "x" * 3_000_000, "ünd", "last"]
    for line in lines:
        writer.write(line)
    assert heard.wait(5) == [line.encode() for line in lines]
    heard.reader.close()


def test_nobody_reads(folder: Path) -> None:
    with pytest.raises(EngineError, match=r"nothing\.here takes nothing"):
        LineWriter("nothing.here").write("line")


def test_pieces_come_in_order_before_and_after_their_stream(texts: GrowingTexts, parts: Heard) -> None:
    sender, one, other = TextSender(), uuid4().hex, uuid4().hex
    sender.pass_on("append", one, "Here I am. And th")
    opened(texts, other)
    sender.pass_on("append", other, "Not me. ")
    said_by_other = parts.wait(1)
    opened(texts, one)
    sender.pass_on("append", one, "ere. ")
    sender.pass_on("end", one, None)
    sender.pass_on("append", one, "Too late. ")
    assert said(said_by_other, other) == ["Not me."]
    assert said(parts.wait(4), one) == ["Here I am.", "And there.", "."]


def test_what_waits_too_long_is_said_as_it_is(texts: GrowingTexts, parts: Heard) -> None:
    stream = uuid4().hex
    opened(texts, stream, unfinished_seconds=0.2)
    TextSender().pass_on("append", stream, "This is no")
    assert said(parts.wait(1), stream) == ["This is no"]
    TextSender().pass_on("append", stream, " end.")
    assert said(parts.wait(2), stream) == ["This is no", "end."]


@pytest.mark.parametrize("why", ["gone", "late"])
def test_a_text_whose_stream_is_over_is_forgotten(texts: GrowingTexts, parts: Heard, why: str) -> None:
    stream = uuid4().hex
    opened(texts, stream, timeout=0.2 if why == "late" else 60.0)
    with pytest.raises(InvalidRequestError, match="is already being served"):
        opened(texts, stream)
    if why == "gone":
        NoteSender("prompt").send(Note(stream, gone=True))
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            opened(texts, stream)
            return
        except InvalidRequestError:
            time.sleep(0.02)
    raise AssertionError("it is still here")


def test_what_makes_no_sense_is_refused(texts: GrowingTexts, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidRequestError, match="append needs a text"):
        TextSender().pass_on("append", uuid4().hex, None)
    with pytest.raises(InvalidRequestError, match="nobody can guess"):
        opened(texts, "short")
    monkeypatch.delenv(RUN_VARIABLE)
    with pytest.raises(InvalidRequestError, match="python -m serve"):
        TextSender().pass_on("end", uuid4().hex, None)


def test_pieces_of_streams_that_never_come_are_bounded(texts: GrowingTexts, parts: Heard) -> None:
    sender, stream = TextSender(), uuid4().hex
    sender.pass_on("append", stream, "This will be forgotten. ")
    for _ in range(300):
        sender.pass_on("append", uuid4().hex, "x" * 4000)
    opened(texts, stream)
    sender.pass_on("append", stream, "This is not. ")
    assert said(parts.wait(1), stream) == ["This is not."]
