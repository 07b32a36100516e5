"""Standard input: all of its text, or pieces of it while it is still being written."""

import os
import time
from collections.abc import Iterator
from threading import Thread

import pytest
from higgs_tts import InvalidRequestError
from higgs_tts.cli.piped_text import piped_text

SLOW = 0.4  # seconds, after which a text is still being written


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


def write(writing: int, *pieces: bytes) -> None:
    """Each after a while but the first."""

    def run() -> None:
        for piece in pieces:
            os.write(writing, piece)
            time.sleep(SLOW)
        os.close(writing)

    Thread(target=run).start()


def test_a_text_that_ends_at_once_is_whole(ends: tuple[int, int]) -> None:
    os.write(ends[1], "\ufeffGrüße.".encode())
    os.close(ends[1])
    assert piped_text(ends[0], whole=False) == "Grüße."


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_one_that_does_not_comes_in_pieces(ends: tuple[int, int], encoding: str) -> None:
    content = "Grüße 声.".encode(encoding)
    write(ends[1], content[:5], content[5:])
    pieces = piped_text(ends[0], whole=False)
    assert not isinstance(pieces, str)
    first = next(pieces)
    assert first and "Grüße 声.".startswith(first) and len(first) < 8
    assert first + "".join(pieces) == "Grüße 声."


def test_it_may_be_wanted_whole(ends: tuple[int, int]) -> None:
    write(ends[1], b"One. ", b"Two.")
    assert piped_text(ends[0], whole=True) == "One. Two."


@pytest.mark.parametrize("bad", [b"a\xffb", b"abc\xe2\x82"])
def test_a_piece_that_is_no_text_is_refused(ends: tuple[int, int], bad: bytes) -> None:
    write(ends[1], b"One. ", bad)
    with pytest.raises(InvalidRequestError, match="standard input is not UTF-8"):
        list(piped_text(ends[0], whole=False))
