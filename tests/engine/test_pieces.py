"""A prompt's calls follow from what it consists of, not from how it was put together."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from runtime.engine.inflight.pieces import pieces
from runtime.engine.types import AudioSegment, Segment, TextSegment

RUNS = st.lists(st.integers(1, 40), min_size=1, max_size=6)


def prompt(lengths: list[int]) -> list[Segment]:
    """Text and audio by turns."""
    return [
        AudioSegment(np.full((length, 8), number)) if number % 2 else TextSegment(np.arange(length))
        for number, length in enumerate(lengths)
    ]


@given(RUNS, st.integers(1, 16))
def test_pieces_tile_the_prompt_and_each_reads_one_modality(lengths: list[int], longest: int) -> None:
    cut = pieces(prompt(lengths), longest)
    assert [piece.start for piece in cut] == [0, *(piece.stop for piece in cut[:-1])]
    assert cut[-1].stop == sum(lengths)
    assert all(1 <= len(piece.segment) <= longest for piece in cut)
    assert set(np.cumsum(lengths)) <= {piece.stop for piece in cut}, "where the modality changes a call must end"


@given(RUNS, st.integers(1, 16), st.data())
def test_segments_are_no_borders(lengths: list[int], longest: int, data: st.DataObject) -> None:
    segments = prompt(lengths)
    divided: list[Segment] = []
    for segment in segments:
        at = data.draw(st.integers(0, len(segment)))
        divided += [segment.slice(slice(0, at)), segment.slice(slice(at, None))]
    found, expected = pieces(divided, longest), pieces(segments, longest)
    assert [(piece.start, piece.key) for piece in found] == [(piece.start, piece.key) for piece in expected]


@given(RUNS, RUNS, st.integers(1, 16))
def test_prompts_that_begin_alike_are_cut_alike_up_to_where_they_differ(
    shared: list[int], rest: list[int], longest: int
) -> None:
    """But for the piece in which they differ, whole; a change of modality is no place in which they could."""
    one, other = pieces(prompt(shared), longest), pieces(prompt([*shared, *rest]), longest)
    assert [piece.key for piece in other[: len(one)]] == [piece.key for piece in one]


def test_a_text_token_is_no_code_of_the_same_number_and_every_codebook_counts() -> None:
    text = TextSegment(np.array([3, 0, 3, 0]))
    audio = AudioSegment(np.array([[3, 0], [3, 0]]))
    other = AudioSegment(np.array([[3, 0], [3, 1]]))
    keys = {pieces([segment], 8)[0].key for segment in (text, audio, other)}
    assert len(keys) == 3
    assert pieces([], 8) == pieces([TextSegment(np.arange(0))], 8) == ()
